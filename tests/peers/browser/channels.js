// One session of a web page: `new WebSocket` with one subprotocol, whose channels are bytes or base64.
const bytes = (string) => new TextEncoder().encode(string);

function open(protocol, parameters) {
    const asked = new URL(location).searchParams;
    const text = protocol.includes('base64');
    const query = new URLSearchParams({ container: 'main', stdin: true, stdout: true, ...parameters });
    for (const word of asked.getAll('command')) {
        query.append('command', word);
    }
    const url = `ws://${asked.get('gateway')}/api/v1/namespaces/default/pods/demo/exec?${query}`;
    const socket = new WebSocket(url, protocol);
    socket.binaryType = 'arraybuffer';
    const send = (channel, payload) =>
        socket.send(
            text ? `${channel}${btoa(String.fromCharCode(...payload))}` : new Uint8Array([channel, ...payload]),
        );
    const receive = (take) => {
        socket.onmessage = ({ data }) =>
            text
                ? take(Number(data[0]), Uint8Array.from(atob(data.slice(1)), (byte) => byte.charCodeAt()))
                : take(new Uint8Array(data)[0], new Uint8Array(data).slice(1));
    };
    return { socket, send, receive, ended: new Promise((resolve) => (socket.onclose = resolve)) };
}

// Goes through the subprotocols of the query, one after the other, and tells the server of this page what came of each.
async function tell(session) {
    const all = {};
    for (const protocol of new URL(location).searchParams.getAll('protocol')) {
        all[protocol] = await session(protocol);
    }
    await fetch('/result', { method: 'POST', body: JSON.stringify(all) });
}
