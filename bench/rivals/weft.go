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
