import java.security.Security;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * A mail client in Java: Client HOST PORT trusting|distrustful [PROTOCOL...]
 *
 * <p>With SSLv2Hello among the protocols Java writes its hello in SSL 2.0's format.
 */
public class Client {
    public static void main(String[] asked) throws Exception {
        Security.setProperty("jdk.tls.disabledAlgorithms", "");
        SSLContext context = SSLContext.getInstance("TLS");
        TrustManager[] trusting = {
            new X509TrustManager() {
                public void checkClientTrusted(X509Certificate[] chain, String type) {}

                public void checkServerTrusted(X509Certificate[] chain, String type) {}

                public X509Certificate[] getAcceptedIssuers() {
                    return new X509Certificate[0];
                }
            }
        };
        context.init(null, asked[2].equals("trusting") ? trusting : null, null);
        int port = Integer.parseInt(asked[1]);
        try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(asked[0], port)) {
            if (asked.length > 3) {
                socket.setEnabledProtocols(java.util.Arrays.copyOfRange(asked, 3, asked.length));
            }
            socket.setSoTimeout(40_000);
            socket.startHandshake();
            socket.getInputStream().read(new byte[1000]);
            socket.getOutputStream().write("a1 LOGOUT\r\n".getBytes());
            socket.getInputStream().read(new byte[1000]);
        }
    }
}
