// Package host is what the peers of every version have in common: local processes, ports and terminals. Nothing of Kubernetes is in
// it, so that each peer brings its own version of that.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"

	"github.com/creack/pty"
)

// Exit is the end of a command that is no success.
type Exit int

func (code Exit) Error() string {
	return fmt.Sprintf("command terminated with exit code %d", int(code))
}

// Size of a terminal.
type Size struct{ Columns, Rows uint16 }

// Run runs a command to its end. Without a terminal each stream that is not nil is a pipe. sizes is closed or has nothing to say
// without a terminal.
func Run(ctx context.Context, argv []string, in io.Reader, out, err io.Writer, tty bool, sizes <-chan Size) error {
	command := exec.CommandContext(ctx, argv[0], argv[1:]...)
	if tty {
		return onTerminal(command, in, out, sizes)
	}
	// Not command.Stdin: Wait would then wait for the end of the input.
	if in != nil {
		pipe, failed := command.StdinPipe()
		if failed != nil {
			return failed
		}
		go func() {
			io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	command.Stdout, command.Stderr = out, err
	return exit(command.Run())
}

func onTerminal(command *exec.Cmd, in io.Reader, out io.Writer, sizes <-chan Size) error {
	terminal, err := pty.Start(command)
	if err != nil {
		return err
	}
	defer terminal.Close()
	go func() {
		for size := range sizes {
			pty.Setsize(terminal, &pty.Winsize{Cols: size.Columns, Rows: size.Rows})
		}
	}()
	if in != nil {
		go io.Copy(terminal, in)
	}
	// Ends with EIO when the process has closed its side.
	if out != nil {
		io.Copy(out, terminal)
	}
	return exit(command.Wait())
}

func exit(err error) error {
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return Exit(failed.ExitCode())
	}
	return err
}

// Forward joins stream and a port of this host, and ends when both directions have.
func Forward(ctx context.Context, port int32, stream io.ReadWriteCloser) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
	dialed, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	connection := dialed.(*net.TCPConn)
	defer connection.Close()
	sent := make(chan struct{})
	go func() {
		io.Copy(connection, stream)
		connection.CloseWrite()
		close(sent)
	}()
	_, err = io.Copy(stream, connection)
	stream.Close()
	<-sent
	return err
}

// Listen takes a free port and says so in the way that the tests wait for.
func Listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		fmt.Printf("ready http://%s\n", listener.Addr())
	}
	return listener, err
}
