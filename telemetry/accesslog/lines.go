package accesslog

import "github.com/weftmesh/weft/config"

// Lines is a file that takes lines which somebody else has written, beside what access logs write to it.
type Lines struct {
	files *Files
	file  *file
}

// Lines opens a file for lines; it is created if it is not there. To open a file again that is open cannot fail.
func (f *Files) Lines(path string) (*Lines, error) {
	log, err := f.Open(config.AccessLog{Sink: config.SinkFile, Path: path, Format: (*Format)(nil)})
	if err != nil {
		return nil, err
	}
	return &Lines{files: f, file: log.file}, nil
}

// Write adds a line, with its end. It is called on the loop of that number, or with the number of loops from elsewhere, and does not block.
func (l *Lines) Write(loop int, line []byte) {
	f, b := l.files, &l.file.buffers[loop]
	stats := f.stats.Loop(loop)
	b.mu.Lock()
	if len(b.lines) > maxBuffered {
		b.mu.Unlock()
		stats.Inc(Dropped)
		return
	}
	b.lines = append(b.lines, line...)
	b.mu.Unlock()
	stats.Inc(WriteBuffered)
	if !f.armed.Swap(true) {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}
