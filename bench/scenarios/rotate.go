package scenarios

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/weftmesh/weft/bench/load"
	"github.com/weftmesh/weft/bench/rivals"
	"github.com/weftmesh/weft/bench/upstream"
)

// rotated counts what is lost while a certificate and the root that clients are checked against are replaced every second: requests over
// connections that stay, and handshakes of new ones.
type rotated struct {
	envoyish
	seconds int
}

func (p rotated) measure(ctx context.Context, s *Stage, c rivals.Contestant) (Sample, error) {
	dir, err := os.MkdirTemp("", "weft-bench-secrets")
	if err != nil {
		return Sample{}, fmt.Errorf("scenarios: secrets: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := rotate(dir); err != nil {
		return Sample{}, err
	}
	proxy, plan, err := s.start(ctx, c, rivals.Plan{Threads: 1, Secrets: dir}, s.proxyCPU)
	if err != nil {
		return Sample{}, err
	}
	defer proxy.Stop()
	asking, shaking := https(upstream.Path1K, upstream.Size1K, 16).spec, shaking("p256", x25519, 4).spec
	results := [2]load.Result{}
	errs := [3]error{}
	var all sync.WaitGroup
	for i, spec := range []load.Spec{asking, shaking} {
		spec.Port, spec.Warm, spec.Measure, spec.Watch = plan.Listen, s.Warm, time.Duration(p.seconds)*time.Second, proxy.PIDs()
		all.Go(func() { results[i], errs[i] = s.load(ctx, spec) })
	}
	all.Go(func() {
		for range p.seconds {
			if errs[2] = pause(ctx, time.Second); errs[2] != nil {
				return
			}
			if errs[2] = rotate(dir); errs[2] != nil {
				return
			}
		}
	})
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return Sample{}, err
		}
	}
	lost := results[0].Faults.Total() + results[1].Faults.Total()
	sample := Sample{Values: []float64{float64(lost)}, Load: &results[0]}
	if results[0].Requests == 0 || results[1].Requests == 0 || proxy.Ended() {
		sample.Invalid = "no request or no handshake came to its end"
	}
	return sample, nil
}

// rotate puts a new certificate and a new root in the place of the last ones, as files of secrets that are renamed into place.
func rotate(dir string) error {
	chain, key, err := issue("p256")
	if err != nil {
		return err
	}
	root, _, err := issue("p256")
	if err != nil {
		return err
	}
	inline := func(b []byte) map[string]string { return map[string]string{"inline_string": string(b)} }
	for name, secret := range map[string]map[string]any{
		"own":   {"tls_certificate": map[string]any{"certificate_chain": inline(chain), "private_key": inline(key)}},
		"roots": {"validation_context": map[string]any{"trusted_ca": inline(root)}},
	} {
		secret["@type"], secret["name"] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", name
		text, err := json.Marshal(map[string]any{"resources": []any{secret}})
		if err == nil {
			path := filepath.Join(dir, name+".json")
			if err = os.WriteFile(path+".new", text, 0o644); err == nil {
				err = os.Rename(path+".new", path)
			}
		}
		if err != nil {
			return fmt.Errorf("scenarios: secret %s: %w", name, err)
		}
	}
	return nil
}
