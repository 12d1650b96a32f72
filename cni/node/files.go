package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/weftmesh/weft/cni"
)

func (a *Agent) program() string { return filepath.Join(a.o.Programs, cni.Name) }

// placeProgram copies the program into the folder of the host's plugins, if another one or none is there.
func (a *Agent) placeProgram() error {
	if now, err := os.Stat(a.program()); err == nil && a.placed != nil && os.SameFile(now, a.placed) && now.ModTime().Equal(a.placed.ModTime()) && now.Size() == a.placed.Size() && now.Mode() == a.placed.Mode() {
		return nil // what was read then: to read it each time would take 50 ms of CPU
	}
	want, err := digest(a.o.Program)
	if err != nil {
		return err
	}
	if is, err := digest(a.program()); err == nil && is == want {
		a.placed, err = os.Stat(a.program())
		return err
	}
	from, err := os.Open(a.o.Program)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := write(a.program(), 0o755, from); err != nil {
		return fmt.Errorf("the program: %w", err)
	}
	a.stats.Inc(programsPlaced)
	a.o.Log.Info("the program was copied", "path", a.program())
	a.placed, err = os.Stat(a.program())
	return err
}

// digest is the SHA-256 of a file that somebody can run.
func digest(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err = io.Copy(h, f); err != nil {
		return sum, err
	}
	if is, err := f.Stat(); err != nil || is.Mode().Perm()&0o111 == 0 {
		return sum, errors.Join(err, errors.New(path+" is no program"))
	}
	copy(sum[:], h.Sum(nil))
	return sum, nil
}

// write makes a file what is read, in one step: whoever reads it sees what was there before or what is there then, after a crash of the machine, too. The name
// of what is written first is none that runtimes take for a configuration.
func write(path string, mode os.FileMode, from io.Reader) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, from); err != nil {
		return err
	}
	if err = errors.Join(f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// writeIf writes what is not there so already, and says that it has.
func writeIf(path string, mode os.FileMode, text []byte) (bool, error) {
	if is, err := os.ReadFile(path); err == nil && bytes.Equal(is, text) {
		return false, nil
	}
	return true, write(path, mode, bytes.NewReader(text))
}
