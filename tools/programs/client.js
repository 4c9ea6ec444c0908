// A mail client in node: client.js HOST PORT trusting|distrustful [LEAST MOST]
const tls = require("node:tls");

const [host, port, trust, minVersion, maxVersion] = process.argv.slice(2);
const socket = tls.connect({
  host,
  port: Number(port),
  servername: host,
  rejectUnauthorized: trust !== "trusting",
  ciphers: "DEFAULT:@SECLEVEL=0",
  minVersion,
  maxVersion,
});
socket.on("secureConnect", () => socket.write("a1 LOGOUT\r\n"));
socket.on("data", () => {});
socket.on("end", () => socket.end());
socket.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
