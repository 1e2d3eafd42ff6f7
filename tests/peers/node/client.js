// @kubernetes/client-node with a command line like kubectl's: --server=URL VERB [-i] [-t] POD [:PORT] [-- COMMAND].
import { linkSync, mkdtempSync, renameSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { Attach, Cp, Exec, KubeConfig, PortForward } from '@kubernetes/client-node';

const words = process.argv.slice(2);
const command = words.includes('--') ? words.splice(words.indexOf('--')).slice(1) : [];
const server = words.find((word) => word.startsWith('--server=')).slice('--server='.length);
const flags = words.filter((word) => /^-[a-z]/.test(word)).join('');
const [verb, ...rest] = words.filter((word) => !word.startsWith('-'));
const stdin = flags.includes('i') ? process.stdin : null;
const tty = flags.includes('t');

const config = new KubeConfig();
// Without TLS there is nothing to verify, and the library asks for one of both.
config.loadFromClusterAndUser({ name: 'c', server, skipTLSVerify: true }, { name: 'u' });

function end(status) {
    const code = status.details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message;
    if (code !== undefined) {
        console.error('command terminated with exit code', code);
    } else if (status.status !== 'Success') {
        console.error('error:', status.message);
    }
    // What waits for a slow reader comes first.
    process.exitCode = status.status === 'Success' ? 0 : Number(code ?? 1);
    process.stdin.destroy();
}

function fail(error) {
    console.error('error:', error.message ?? error);
    process.exit(1);
}

async function forward(pod, port) {
    const forwarder = new PortForward(config);
    const listener = createServer({ allowHalfOpen: true }, async (local) => {
        const errors = new PassThrough();
        errors.on('data', (text) => text.length && console.error('error:', text.toString()));
        const socket = await forwarder.portForward('default', pod, [port], local, errors, local).catch(fail);
        socket.on('close', () => local.end());
    });
    listener.listen(0, '127.0.0.1', () => {
        console.log(`Forwarding from 127.0.0.1:${listener.address().port} -> ${port}`);
    });
}

// Exec that tells when a session has ended: Cp itself does not wait for the one that it opens.
class Watched extends Exec {
    ended = new Promise((resolve) => (this.end = resolve));

    exec(...all) {
        const [stdout, told] = [all[4], all[8]];
        all[8] = async (status) => {
            const written = stdout && finished(stdout);
            this.end(Promise.all([told(status), written]).then(() => status));
        };
        return super.exec(...all);
    }
}

// Cp copies what is in a directory, so the file has one of its own here.
async function copy(from, to) {
    const exec = new Watched(config);
    const cp = new Cp(config, exec);
    const own = mkdtempSync('copy-');
    const path = (word) => word.slice(word.indexOf(':') + 1);
    const up = to.includes(':');
    if (up) {
        linkSync(from, join(own, basename(path(to))));
        await cp.cpToPod('default', to.split(':')[0], 'main', own, dirname(path(to)));
    } else {
        await cp.cpFromPod('default', from.split(':')[0], 'main', basename(path(from)), own, dirname(path(from)));
    }
    end(await exec.ended);
    if (!up) {
        renameSync(join(own, basename(path(from))), to);
    }
}

if (tty) {
    process.stdin.setRawMode(true);
}
switch (verb) {
    case 'exec':
        await new Exec(config)
            .exec('default', rest[0], 'main', command, process.stdout, tty ? null : process.stderr, stdin, tty, end)
            .catch(fail);
        break;
    case 'attach':
        await new Attach(config)
            .attach('default', rest[0], 'main', process.stdout, tty ? null : process.stderr, stdin, tty)
            .catch(fail);
        break;
    case 'cp':
        await copy(...rest).catch(fail);
        break;
    default:
        await forward(rest[0], Number(rest[1].slice(1)));
}
