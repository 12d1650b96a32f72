package filters

import "github.com/weftmesh/weft/config"

// Draw tells whether something that happens to a share of requests happens to one, given a random number.
func Draw(f config.Fraction, random uint64) bool {
	return f.Of >= f.In && f.Of > 0 || f.Of > 0 && uint32(random%uint64(f.In)) < f.Of
}
