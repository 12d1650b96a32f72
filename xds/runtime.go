package xds

import (
	"fmt"

	"github.com/weftmesh/weft/config"
	"github.com/weftmesh/weft/xds/decode"
)

// maxRuntimeValue bounds, in bytes, a runtime value that an operator sets.
const maxRuntimeValue = 16 << 10

// RuntimeValue reads a runtime value that an operator sets, which is YAML as in a bootstrap.
func RuntimeValue(key, text string) (*config.Value, error) {
	if why := decode.CheckRuntimeKey(key); why != "" {
		return nil, fmt.Errorf("%s: %s", key, why)
	}
	if len(text) > maxRuntimeValue {
		return nil, fmt.Errorf("%s: the value is longer than %d bytes", key, maxRuntimeValue)
	}
	n, err := parseYAML([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	var r messageReader
	return decode.RuntimeValue(text, r.plain(n, "")), nil
}
