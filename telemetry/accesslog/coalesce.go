package accesslog

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// coalesce writes the first of several operators that has a value which is not empty.
func (o *operator) coalesce(dst []byte, e *Entry) (out []byte, raw, ok bool) {
	from := len(dst)
	for i := range o.among {
		a := &o.among[i]
		dst, raw, ok = a.value(dst[:from], e)
		if !ok || len(dst) == from {
			continue
		}
		// A number in JSON is not cut, and has no length of its own either.
		if a.max >= 0 && len(dst)-from > int(a.max) && (!raw || o.write != writeValue) {
			dst = dst[:from+int(a.max)]
		}
		return dst, raw, true
	}
	return dst[:from], false, false
}

// setWrite says how an operator's value is put into what surrounds it.
func (o *operator) setWrite(w write) {
	o.write = w
	for i := range o.among {
		o.among[i].setWrite(w)
	}
}

// parseAmong reads {"operators": [...]}, whose elements are names of operators or {"command": NAME, "param": TEXT, "max_length": N}.
// Members of other names are refused: Envoy passes over them, and so over a misspelled one.
func parseAmong(s string, in Compiler, depth int) ([]operator, error) {
	if depth >= maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	var list struct {
		Operators []json.RawMessage `json:"operators"`
	}
	if err := strictly(s, &list); err != nil {
		return nil, fmt.Errorf("parameter %q: want {\"operators\": [...]}: %w", s, err)
	}
	if len(list.Operators) == 0 {
		return nil, fmt.Errorf("parameter %q: want at least one operator in operators", s)
	}
	ops := make([]operator, 0, len(list.Operators))
	for i, raw := range list.Operators {
		c, err := among(raw)
		if err != nil {
			return nil, fmt.Errorf("operators[%d]: %w", i, err)
		}
		o, err := compile(c, in, depth+1)
		if err != nil {
			return nil, fmt.Errorf("operators[%d]: %s: %w", i, c.name, err)
		}
		ops = append(ops, o)
	}
	return ops, nil
}

// among reads one operator.
func among(raw json.RawMessage) (call, error) {
	c := call{length: -1}
	if raw[0] == '"' {
		return c, json.Unmarshal(raw, &c.name)
	}
	var o struct {
		Command string  `json:"command"`
		Param   *string `json:"param"`
		Max     *int32  `json:"max_length"`
	}
	if err := strictly(string(raw), &o); err != nil {
		return c, fmt.Errorf("want the name of an operator or {\"command\": …, \"param\": …, \"max_length\": …}: %w", err)
	}
	c.name = o.Command
	if o.Param != nil {
		c.parameter, c.parameters = *o.Param, *o.Param != ""
	}
	if o.Max != nil {
		if c.length = *o.Max; c.length <= 0 {
			return c, fmt.Errorf("max_length %d: want at least 1", c.length)
		}
	}
	return c, nil
}

// strictly reads JSON that holds nothing but what is known.
func strictly(s string, into any) error {
	d := json.NewDecoder(strings.NewReader(s))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("something follows at byte %d", d.InputOffset())
	}
	return nil
}
