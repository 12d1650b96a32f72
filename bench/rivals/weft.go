package rivals

import (
	"context"
	"fmt"
	"path/filepath"
)

// weft runs from the very file Envoy gets, by the same command line.
func weft() Rival {
	r := envoy()
	r.Name, r.Package = "weft", "it with: go build -o bin/weft ./cmd/weft"
	r.find = func(_ context.Context, p Places) (string, error) {
		if !isELF(p.Weft) {
			return "", fmt.Errorf("no binary %s", filepath.ToSlash(p.Weft))
		}
		return filepath.Abs(p.Weft)
	}
	return r
}

// floor is weft passing the bytes of an HTTP scenario on as TCP, and reading none of them. It has the system calls of a proxy and none of its
// work, so it bounds from below what weft, with these system calls, can cost: where it misses a target, the machine decides and not the code.
func floor() Rival {
	r := weft()
	r.Name, r.TCP, r.Envoyish, r.Floor = "floor", false, false, true
	r.render = func(p Plan) string {
		p.TCP = true
		return bootstrap(p)
	}
	return r
}
