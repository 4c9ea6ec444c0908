/* Touches what any port filter has to: reads a capture, and of each frame the headers. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned char window[1 << 20];

int main(int argc, char **argv)
{
	int file = open(argv[argc - 1], O_RDONLY);
	size_t have = 0, at = 24;
	uint64_t frames = 0, mail = 0;
	ssize_t got;

	while ((got = read(file, window + have, sizeof window - have)) > 0) {
		have += got;
		while (at + 16 <= have) {
			uint32_t length;
			memcpy(&length, window + at + 8, 4);
			if (at + 16 + length > have)
				break;
			const unsigned char *frame = window + at + 16;
			if (length >= 38 && frame[12] == 8 && frame[13] == 0 && frame[23] == 6) {
				const unsigned char *tcp = frame + 14 + 4 * (frame[14] & 15);
				unsigned from = tcp[0] << 8 | tcp[1], to = tcp[2] << 8 | tcp[3];
				mail += from == 993 || from == 995 || to == 993 || to == 995;
			}
			frames++;
			at += 16 + length;
		}
		memmove(window, window + at, have - at);
		have -= at;
		at = 0;
	}
	printf("%llu %llu\n", (unsigned long long)frames, (unsigned long long)mail);
	return 0;
}
