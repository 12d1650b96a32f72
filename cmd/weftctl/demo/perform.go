package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// board is what the steps tell the view.
type board struct {
	answers uint64 // that a share is measured over
	rate    int

	mu      sync.Mutex
	results []outcome
	step    int
	state   string    // of the step
	next    time.Time // when the next step comes by itself; zero if none does
	hints   []string
}

func (b *board) say(step int, state string, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.step, b.state, b.next = step, state, next
}

func (b *board) over(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results = append(b.results, o)
}

func (b *board) frame(s *stage, now time.Time) frame {
	b.mu.Lock()
	f := frame{where: s.where(), results: b.results, step: b.step, state: b.state, hints: b.hints}
	if !b.next.IsZero() {
		f.state += fmt.Sprintf("   next in %d s", int(max(0, b.next.Sub(now)).Round(time.Second)/time.Second))
	}
	b.mu.Unlock()
	f.second = s.mesh.second(now)
	f.sent = s.sent()
	f.lost, _ = s.lost()
	return f
}

// watch shows a frame every so often until ctx ends. When a frame cannot be written, nobody looks any more: quit.
func (b *board) watch(ctx context.Context, s *stage, every time.Duration, quit context.CancelFunc, show func(frame) error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if show(b.frame(s, now)) != nil {
				quit()
				return
			}
		}
	}
}

const (
	redraw    = 200 * time.Millisecond
	plainLine = time.Second
)

// walk does a step: what it applies, and what it looks at.
func (s *stage) walk(ctx context.Context, i int, b *board) (o outcome) {
	before, _ := s.lost()
	b.say(i, "is applied", time.Time{})
	if steps[i].apply != "" {
		if o.took, o.err = s.takes(ctx, steps[i].apply); o.err != nil {
			return o
		}
	}
	b.say(i, "is in force, and looked at", time.Time{})
	o.seen, o.err = steps[i].check(ctx, s, b)
	lost, why := s.lost()
	if o.lost = lost - before; o.lost > 0 && o.err == nil {
		o.seen += "; lost by: " + why
	}
	return o
}

// unattended walks without anybody to look, and writes a line for each step.
func unattended(ctx context.Context, s *stage, b *board, out io.Writer) error {
	if err := write(out, tableHead); err != nil {
		return err
	}
	for i := range steps {
		o := s.walk(ctx, i, b)
		b.over(o)
		if err := write(out, o.row(i)); err != nil {
			return err
		}
		if o.err != nil {
			return o.err
		}
	}
	return nil
}

// attended lets each step be looked at.
func attended(ctx context.Context, s *stage, b *board, pause time.Duration, in *os.File, out io.Writer, keep bool) error {
	ctx, quit := context.WithCancel(ctx)
	screen := screenOf(in, out)
	var watching sync.WaitGroup
	var entered chan struct{} // nil, which never comes, without a keyboard
	if screen != nil {
		colour := paint(os.Getenv("NO_COLOR") == "")
		screen.open()
		defer screen.close()
		b.hints = append(s.doors(), "", "Ctrl-C ends everything")
		if entered = screen.entered; screen.keys != nil {
			b.hints[len(b.hints)-1] = "Enter: next step   Ctrl-C ends everything"
		}
		watching.Go(func() {
			b.watch(ctx, s, redraw, quit, func(f frame) error {
				columns, _ := screen.size()
				return screen.draw(live(f, columns, colour))
			})
		})
	} else {
		watching.Go(func() { b.watch(ctx, s, plainLine, quit, func(f frame) error { return write(out, plain(f)) }) })
	}
	defer watching.Wait()
	defer quit()
	for i := range steps {
		o := s.walk(ctx, i, b)
		if o.err != nil {
			b.over(o)
			return o.err
		}
		b.say(i, o.seen, time.Now().Add(pause))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-entered:
		case <-ctx.Done():
		}
		timer.Stop()
		b.over(o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if screen == nil && !keep {
		return nil
	}
	b.say(len(steps), "", time.Time{})
	if screen == nil {
		if err := write(out, s.kept()); err != nil {
			return err
		}
	}
	return s.stay(ctx)
}

// stay waits for Ctrl-C, or for a process to end by itself.
func (s *stage) stay(ctx context.Context) error {
	return errors.Unwrap(until(ctx, 24*time.Hour, "Ctrl-C", s.processes(), func(context.Context) error { return errors.New("it has not come") }))
}

func (s *stage) kept() string {
	text := "\neverything stays until Ctrl-C:\n"
	for _, line := range s.doors() {
		text += "  " + line + "\n"
	}
	return text + "  files " + s.dir + "\n\n"
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
