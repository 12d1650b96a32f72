package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// board is what the steps tell the view.
type board struct {
	mu    sync.Mutex
	step  int
	state string    // of the step
	next  time.Time // when the next step comes by itself; zero if none does
	hint  string
}

func (b *board) say(step int, state string, next time.Time, hint string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.step, b.state, b.next, b.hint = step, state, next, hint
}

func (b *board) frame(s *stage, now time.Time) frame {
	b.mu.Lock()
	f := frame{step: b.step + 1, steps: len(steps), weights: steps[b.step], state: b.state, hint: b.hint}
	if !b.next.IsZero() {
		f.state += fmt.Sprintf("   next in %d s", int(max(0, b.next.Sub(now)).Round(time.Second)/time.Second))
	}
	b.mu.Unlock()
	f.second = s.traffic.second(now)
	f.sent, f.lost, _ = s.traffic.totals()
	f.listener, f.admin, f.routes = s.listener, s.admin.address, s.routes()
	return f
}

// watch shows a frame at once and then every so often until ctx ends. When a frame cannot be written, nobody looks any more: quit.
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

// step puts step i in force and measures it until wait returns; wait is given a channel that is closed when limit answers are counted.
func (s *stage) step(ctx context.Context, i int, limit uint64, wait func(enough <-chan struct{}) error) (result, error) {
	r := result{weights: steps[i]}
	_, _, before := s.measured()
	var err error
	if i > 0 { // the first is in force since weft is ready
		if r.took, err = s.apply(ctx, i+1, steps[i]); err != nil {
			return r, err
		}
	}
	err = wait(s.traffic.measure(time.Now().Add(settle), limit))
	var lost uint64
	r.v1, r.v2, lost = s.measured()
	r.lost = lost - before
	return r, err
}

// perform goes through the steps and shows them, as a table or as they happen.
func perform(ctx context.Context, o demoOptions, s *stage, std streams) ([]result, error) {
	if o.once {
		return unattended(ctx, o, s, std.out)
	}
	return shown(ctx, o, s, std)
}

func unattended(ctx context.Context, o demoOptions, s *stage, out io.Writer) (results []result, err error) {
	fmt.Fprintf(out, "listener http://%s  admin http://%s  log %s\n\n%s", s.listener, s.admin.address, s.weft.log, tableHead)
	limit := 3*time.Duration(o.requests)*time.Second/time.Duration(o.rate) + 5*time.Second
	for i := range steps {
		r, err := s.step(ctx, i, uint64(o.requests), func(enough <-chan struct{}) error {
			timer := time.NewTimer(limit)
			defer timer.Stop()
			select {
			case <-enough:
				return nil
			case <-timer.C:
				return fmt.Errorf("demo: step %d: fewer than %d answers in %v", i+1, o.requests, limit)
			case <-s.weft.exited:
				return s.weft.ended()
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		results = append(results, r)
		if _, wrote := io.WriteString(out, r.row(i+1)); err == nil {
			err = wrote
		}
		if err != nil {
			return results, err
		}
	}
	if !o.keep {
		return results, nil
	}
	fmt.Fprint(out, kept(s))
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	b := &board{step: len(steps) - 1}
	var watching sync.WaitGroup
	watching.Go(func() { b.watch(ctx, s, plainLine, quit, func(f frame) error { return write(out, plain(f)) }) })
	err = s.stay(ctx)
	quit()
	watching.Wait()
	return results, err
}

// shown lets each step take its time.
func shown(ctx context.Context, o demoOptions, s *stage, std streams) (results []result, err error) {
	ctx, quit := context.WithCancel(ctx)
	b := &board{}
	screen := screenOf(std)
	var watching sync.WaitGroup
	var entered chan struct{} // nil, which never comes, without a keyboard
	hint := "Ctrl-C ends everything"
	if screen != nil {
		colour := paint(os.Getenv("NO_COLOR") == "")
		screen.open()
		defer screen.close()
		if entered = screen.entered; screen.keys != nil {
			hint = "Enter: next step   " + hint
		}
		watching.Go(func() {
			b.watch(ctx, s, redraw, quit, func(f frame) error {
				columns, _ := screen.size()
				return screen.draw(live(f, columns, colour))
			})
		})
	} else {
		watching.Go(func() { b.watch(ctx, s, plainLine, quit, func(f frame) error { return write(std.out, plain(f)) }) })
	}
	defer watching.Wait()
	defer quit()

	for i := range steps {
		b.say(i, "changing the file", time.Time{}, hint)
		r, err := s.step(ctx, i, 0, func(<-chan struct{}) error {
			state := "in force"
			if i > 0 {
				state = "the file is changed and in force"
			}
			b.say(i, state, time.Now().Add(o.step), hint)
			timer := time.NewTimer(o.step)
			defer timer.Stop()
			select {
			case <-timer.C:
				return nil
			case <-entered:
				return nil
			case <-s.weft.exited:
				return s.weft.ended()
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		results = append(results, r)
		if err != nil {
			return results, err
		}
	}
	if screen == nil && !o.keep {
		return results, nil
	}
	if screen == nil {
		if err := write(std.out, kept(s)); err != nil {
			return results, err
		}
	}
	b.say(len(steps)-1, "done; edit the file and the bars follow", time.Time{}, "Ctrl-C ends everything")
	return results, s.stay(ctx)
}

// stay waits for Ctrl-C, or for weft to end by itself.
func (s *stage) stay(ctx context.Context) error {
	select {
	case <-s.weft.exited:
		return s.weft.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func kept(s *stage) string {
	return fmt.Sprintf("\neverything stays until Ctrl-C:\n  curl http://%s/hello\n  admin http://%s/\n  edit  %s\n\n", s.listener, s.admin.address, s.routes())
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
