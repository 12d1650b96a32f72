package demo

import (
	"io"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// terminal is the screen while the live view has it: the alternate one, without cursor and without line breaks of its own.
type terminal struct {
	out     *os.File
	keys    *os.File // nil if input is not a terminal
	before  syscall.Termios
	entered chan struct{} // one for each Enter; those that nobody waits for are dropped
}

func ioctl(f *os.File, request uintptr, argument unsafe.Pointer) bool {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(argument))
	return errno == 0
}

func isTerminal(f *os.File) bool {
	var t syscall.Termios
	return ioctl(f, syscall.TCGETS, unsafe.Pointer(&t))
}

// screenOf is the terminal behind what is read and written, or nil if there is none that can redraw.
func screenOf(in *os.File, to io.Writer) *terminal {
	out, ok := to.(*os.File)
	if !ok || !isTerminal(out) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	t := &terminal{out: out, entered: make(chan struct{})}
	if in != nil && isTerminal(in) {
		t.keys = in
	}
	return t
}

// open takes the screen; close gives it back. Keys are read without echo, which would break the picture; Ctrl-Z does nothing, because a
// stopped demo would leave the shell with the alternate screen and without a cursor. Ctrl-C stays a signal.
func (t *terminal) open() {
	if t.keys != nil && ioctl(t.keys, syscall.TCGETS, unsafe.Pointer(&t.before)) {
		raw := t.before
		raw.Lflag &^= syscall.ECHO | syscall.ICANON
		raw.Cc[syscall.VMIN], raw.Cc[syscall.VTIME], raw.Cc[syscall.VSUSP] = 1, 0, 0
		ioctl(t.keys, syscall.TCSETS, unsafe.Pointer(&raw))
		go t.read()
	}
	io.WriteString(t.out, "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J")
}

func (t *terminal) close() {
	io.WriteString(t.out, "\x1b[?7h\x1b[?25h\x1b[?1049l")
	if t.keys != nil {
		ioctl(t.keys, syscall.TCSETS, unsafe.Pointer(&t.before))
	}
}

// read ends with the input, or with the process.
func (t *terminal) read() {
	key := make([]byte, 1)
	for {
		if _, err := t.keys.Read(key); err != nil {
			return
		}
		if key[0] == '\n' || key[0] == '\r' {
			select {
			case t.entered <- struct{}{}:
			default:
			}
		}
	}
}

// size is columns and rows, or the usual ones if the terminal does not say.
func (t *terminal) size() (columns, rows int) {
	var w struct{ rows, columns, x, y uint16 }
	if !ioctl(t.out, syscall.TIOCGWINSZ, unsafe.Pointer(&w)) || w.columns == 0 || w.rows == 0 {
		return 80, 24
	}
	return int(w.columns), int(w.rows)
}

// draw puts lines over what stands there. What does not fit below is left out, for else the screen would scroll.
func (t *terminal) draw(lines []string) error {
	_, rows := t.size()
	_, err := io.WriteString(t.out, "\x1b[H"+strings.Join(lines[:min(len(lines), rows)], "\x1b[K\r\n")+"\x1b[K\x1b[J")
	return err
}
