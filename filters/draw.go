package filters

import "github.com/weftmesh/weft/config"

// Draw tells whether something that happens to a share of requests happens to one, given a random number.
func Draw(f config.Fraction, random uint64) bool {
	of, in := f.Now()
	return of > 0 && (of >= in || random%in < of)
}
