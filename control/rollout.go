package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/weftmesh/weft/control/source"
)

// How changes go to proxies if their objects do not say it, as --rollout has it.
const (
	AtOnce    = source.AtOnce
	ByCohorts = source.ByCohorts
)

// checkRollout says what is wrong with the options about it.
func (o *Options) checkRollout() error {
	switch {
	case o.Rollout != "" && o.Rollout != AtOnce && o.Rollout != ByCohorts:
		return fmt.Errorf("--rollout is %q: want %s or %s", o.Rollout, AtOnce, ByCohorts)
	case o.RolloutWait < 0:
		return fmt.Errorf("--rollout-wait is %v: want more than nothing", o.RolloutWait)
	}
	return nil
}

// resume has an object that is held back be tried again.
func (p *Plane) resume(w http.ResponseWriter, r *http.Request) {
	p.rollout(w, r, "resumed", func(ctx context.Context, key source.Key) error { return p.push.Resume(ctx, key) })
}

// abort holds an object back.
func (p *Plane) abort(w http.ResponseWriter, r *http.Request) {
	p.rollout(w, r, "held back", func(ctx context.Context, key source.Key) error {
		because := "it was taken back by hand"
		if why := r.PostForm.Get("reason"); why != "" {
			because += ": " + why
		}
		return p.push.Abort(ctx, key, because)
	})
}

func (p *Plane) rollout(w http.ResponseWriter, r *http.Request, done string, do func(context.Context, source.Key) error) {
	if !isPost(w, r) || !hasForm(w, r) {
		return
	}
	p.did(w, r, "rollout", func(ctx context.Context) (string, error) {
		key, is := source.ParsePath(r.PostForm.Get("object"))
		if !is {
			return "", errors.New("of which object? want object=KIND/NAMESPACE/NAME, such as virtualservices.networking.istio.io/shop/reviews")
		}
		return done, do(ctx, key)
	})
}
