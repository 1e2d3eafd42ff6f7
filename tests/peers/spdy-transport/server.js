// What npm's spdy-transport does with SPDY/3.1, for cargo xtask conformance. An upgrade is answered whatever it says; the stream
// `stdin` is sent back on `stdout`, and the end of it ends the session with a status on `error`.
import http from 'node:http';
import transport from 'spdy-transport';

const server = http.createServer((_, response) => response.writeHead(426).end());

server.on('upgrade', (_, socket, head) => {
  socket.setNoDelay(true);
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n');
  if (head.length > 0) {
    socket.unshift(head);
  }
  const connection = transport.connection.create(socket, { protocol: 'spdy', isServer: true, headerCompression: true });
  connection.start(3.1);
  // A user of the library has nothing else to do with an error of the connection.
  connection.on('error', () => socket.destroySoon());
  connection.on('close', () => socket.destroySoon());
  const streams = {};
  connection.on('stream', (stream) => {
    stream.on('error', () => {});
    const type = stream.headers.streamtype;
    stream.respond(200, {});
    // A second stream of a type does not take the place of the first.
    streams[type] ??= stream;
    if (streams.error && streams.stdin && streams.stdout && !streams.begun) {
      streams.begun = true;
      join(streams);
    }
  });
});

function join({ error, stdin, stdout }) {
  stdin.on('data', (bytes) => stdout.write(bytes));
  let over = false;
  const end = () => {
    if (over) {
      return;
    }
    over = true;
    stdout.end();
    error.end('{"metadata":{},"status":"Success"}');
  };
  stdin.on('end', end);
  stdin.on('close', end);
}

process.on('uncaughtException', (error) => console.error(error));

server.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}`));
