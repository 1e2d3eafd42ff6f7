package host

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/term"
)

// Line is a command line in kubectl's manner: --server=URL [--transport=NAME] VERB [-i] [-t] POD [PORTS] [-- COMMAND].
type Line struct {
	Server, Transport, Verb, Pod string
	Stdin, TTY                   bool
	Ports, Command               []string
}

// Arguments of this program.
func Arguments() Line {
	line := Line{Transport: "fallback"}
	for words := os.Args[1:]; len(words) > 0; words = words[1:] {
		word := words[0]
		name, value, _ := strings.Cut(word, "=")
		switch {
		case word == "--":
			line.Command = words[1:]
			return line
		case name == "--server":
			line.Server = value
		case name == "--transport":
			line.Transport = value
		case strings.HasPrefix(word, "-"):
			line.Stdin, line.TTY = line.Stdin || strings.Contains(word, "i"), line.TTY || strings.Contains(word, "t")
		case line.Verb == "":
			line.Verb = word
		case line.Pod == "":
			line.Pod = word
		default:
			line.Ports = append(line.Ports, word)
		}
	}
	return line
}

// URL of the pod's subresource, with what kubectl asks for.
func (line Line) URL() *url.URL {
	location, err := url.Parse(line.Server)
	Check(err)
	location.Path = "/api/v1/namespaces/default/pods/" + line.Pod + "/" + strings.ReplaceAll(line.Verb, "-", "")
	query := url.Values{}
	if line.Verb != "port-forward" {
		for name, on := range map[string]bool{"stdin": line.Stdin, "stdout": true, "stderr": !line.TTY, "tty": line.TTY} {
			if on {
				query.Set(name, "true")
			}
		}
		query["command"], query["container"] = line.Command, []string{"main"}
	}
	location.RawQuery = query.Encode()
	return location
}

// Terminal puts the standard input into raw mode. The sizes are those of its window, the first one at once; restore undoes it.
func Terminal() (sizes chan Size, restore func()) {
	before, err := term.MakeRaw(0)
	Check(err)
	changes := make(chan os.Signal, 1)
	changes <- syscall.SIGWINCH
	signal.Notify(changes, syscall.SIGWINCH)
	sizes = make(chan Size, 1)
	go func() {
		for range changes {
			if rows, columns, err := pty.Getsize(os.Stdin); err == nil {
				sizes <- Size{uint16(columns), uint16(rows)}
			}
		}
	}()
	return sizes, func() { term.Restore(0, before) }
}

// Streams that line asks for: what it does not ask for is nil.
func (line Line) Streams() (in io.Reader, out, err io.Writer) {
	out = os.Stdout
	if line.Stdin {
		in = os.Stdin
	}
	if !line.TTY {
		err = os.Stderr
	}
	return in, out, err
}

// End ends this program as kubectl ends: with the command's exit code, or with 1 and the error.
func End(err error) {
	var exit interface{ ExitStatus() int }
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, &exit):
		fmt.Fprintf(os.Stderr, "command terminated with exit code %d\n", exit.ExitStatus())
		os.Exit(exit.ExitStatus())
	default:
		Check(err)
	}
}

// Check ends this program if there is an error.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
