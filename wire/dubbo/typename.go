package dubbo

import "strings"

// TypeName is a parameter's type, from 0, as Java's sources name it: int, java.lang.String, byte[]; empty where there is none. It is for people: to ask for a type, Declares costs nothing.
func (c *Call) TypeName(i int) string {
	if i < 0 || i >= len(c.parameters) {
		return ""
	}
	return sourceName(string(c.Type(i)))
}

// TargetTypeName is TypeName for Target, as the caller says.
func (c *Call) TargetTypeName(i int) (string, error) {
	if !c.generic {
		return c.TypeName(i), nil
	}
	if _, err := c.Argument(2); err != nil || i < 0 || i >= len(c.named) || c.named[i].Kind != Text {
		return "", err
	}
	if name := string(c.named[i].Text); !strings.HasPrefix(name, "[") {
		return name, nil
	}
	return sourceName(string(c.named[i].Text)), nil
}

// sourceName is how sources have what a descriptor, or the name of an array's class, says.
func sourceName(descriptor string) string {
	name := strings.TrimLeft(descriptor, "[")
	arrays := strings.Repeat("[]", len(descriptor)-len(name))
	switch {
	case strings.HasPrefix(name, "L") && strings.HasSuffix(name, ";"):
		name = strings.ReplaceAll(name[1:len(name)-1], "/", ".")
	case len(name) == 1:
		name = primitive(name[0])
	}
	return name + arrays
}
