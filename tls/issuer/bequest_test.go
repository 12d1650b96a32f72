package issuer

import (
	"testing"
	"testing/synctest"
	"time"
)

// Who takes the place of another process goes on with what that had: nobody is asked before half of its life is over, and what it is is judged anew.
func TestBequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.issuer(Options{Join: "once"})
		if first.Bequest() != nil {
			t.Error("who has nothing leaves something")
		}
		run(t, first)
		had, _ := first.Identity()
		text := first.Bequest()
		time.Sleep(w.life / 4)
		w.forget()
		second := w.issuer(Options{Before: text, Want: Who{"cluster.local", "a", "b"}})
		run(t, second)
		if got, _ := second.Identity(); got == nil || !got.same(had) || string(got.Key) != string(had.Key) || len(w.shown()) != 0 {
			t.Fatalf("has %v, and asked %d times: want what the first had", got, len(w.shown()))
		}
		time.Sleep(w.life/4 + w.life/20)
		synctest.Wait()
		if shown := w.shown(); serial(second) != 2 && serial(second) != 3 || shown[len(shown)-1].own == nil { // the first renews, too
			t.Errorf("at half of its life it has certificate %d", serial(second))
		}
		for why, x := range map[string]*Issuer{
			"it is another one's": w.issuer(Options{Before: text, Join: "x", Want: Who{"cluster.local", "a", "c"}}),
			"it is nonsense":      w.issuer(Options{Before: []byte("{"), Join: "x"}),
		} {
			if x.resume(); serial(x) != 0 {
				t.Errorf("%s, and it is taken", why)
			}
		}
		time.Sleep(w.life)
		x := w.issuer(Options{Before: text})
		if x.resume(); serial(x) != 0 {
			t.Error("it has ended, and it is taken")
		}
	})
}
