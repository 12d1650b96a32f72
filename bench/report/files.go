package report

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// WriteFiles writes the page, the plots and the raw rounds into dir, named by the date, over what an
// earlier run of the same day left. It returns the files' names without dir.
func (r Run) WriteFiles(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	var names []string
	for _, f := range []struct {
		ext   string
		write func(io.Writer) error
	}{{".md", r.WriteMarkdown}, {".html", r.WriteHTML}, {".json", r.WriteJSON}} {
		name := r.Date.Format(time.DateOnly) + f.ext
		if err := writeFile(filepath.Join(dir, name), f.write); err != nil {
			return names, fmt.Errorf("report: %w", err)
		}
		names = append(names, name)
	}
	return names, nil
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
