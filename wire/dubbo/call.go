package dubbo

// MaxParameters bounds what a method has (JVM specification, section 4.3.3).
const MaxParameters = 255

// Call is what the body of a request asks for. It is to be used again and again: once it has grown to what calls need it allocates nothing.
type Call struct {
	// Framework is the version of Dubbo's protocol, Path what the service is called, mostly its interface, Version that of the service, and Types what the method's parameters are, as Java describes
	// them ("Ljava/lang/String;I"). They are views of the body, or of what the Call keeps, until the next Read.
	Framework, Path, Version, Method, Types []byte

	serialization Serialization
	hessian       hessian
	jsonb         jsonb
	parameters    []int32 // where their types begin in Types
	read          int     // arguments that were read
	arguments     []Value
	attachments   []Attachment
	attached      bool // these are read
	wrong         error
	generic       bool    // it stands for another one
	named, given  []Value // of a generic call, the types that it names, and its arguments
	room, name    []byte  // of Written and of Service
}

// Read reads the beginning of a body: all but the arguments and the attachments, which are read when somebody asks for them. A body whose beginning cannot be read has neither.
func (c *Call) Read(s Serialization, body []byte) error {
	if c.wrong = c.begin(s, body); c.wrong != nil {
		c.parameters, c.generic = c.parameters[:0], false
	}
	return c.wrong
}

func (c *Call) begin(s Serialization, body []byte) error {
	c.serialization, c.read, c.attached, c.wrong = s, 0, false, nil
	c.parameters, c.arguments, c.attachments, c.generic, c.named, c.given = c.parameters[:0], c.arguments[:0], c.attachments[:0], false, c.named[:0], c.given[:0]
	switch s {
	case Hessian2:
		c.hessian.read(body)
	case Fastjson2:
		c.jsonb.read(body)
	default:
		return fail(UnknownSerialization)
	}
	for _, to := range []*[]byte{&c.Framework, &c.Path, &c.Version, &c.Method, &c.Types} {
		var err error
		if *to, err = c.text(); err != nil {
			return err
		}
	}
	c.generic = isGeneric(c.Method, c.Types)
	return c.split()
}

func (c *Call) text() ([]byte, error) {
	if c.serialization == Hessian2 {
		return c.hessian.text()
	}
	return c.jsonb.text()
}

func (c *Call) value() (Value, error) {
	if c.serialization == Hessian2 {
		return c.hessian.value()
	}
	return c.jsonb.value()
}

func (c *Call) pairs() (err error) {
	if c.serialization == Hessian2 {
		c.attachments, err = c.hessian.pairs(c.attachments)
	} else {
		c.attachments, err = c.jsonb.pairs(c.attachments)
	}
	return err
}

// split finds where the type of each parameter begins (JVM specification, section 4.3.2).
func (c *Call) split() error {
	for at := 0; at < len(c.Types); {
		if len(c.parameters) == MaxParameters {
			return fail(TooManyParameters)
		}
		c.parameters = append(c.parameters, int32(at))
		for at < len(c.Types) && c.Types[at] == '[' {
			at++
		}
		if at == len(c.Types) {
			return fail(BadTypes)
		}
		switch c.Types[at] {
		case 'Z', 'B', 'C', 'D', 'F', 'I', 'J', 'S':
			at++
		case 'L':
			for at < len(c.Types) && c.Types[at] != ';' {
				at++
			}
			if at == len(c.Types) {
				return fail(BadTypes)
			}
			at++
		default:
			return fail(BadTypes)
		}
	}
	return nil
}

// Parameters is how many the method has.
func (c *Call) Parameters() int { return len(c.parameters) }

// Type is what a parameter is, from 0, as Java describes it. There must be one.
func (c *Call) Type(i int) []byte {
	end := len(c.Types)
	if i+1 < len(c.parameters) {
		end = int(c.parameters[i+1])
	}
	return c.Types[c.parameters[i]:end]
}

// Argument reads an argument, from 0; of one that there is not it is null.
func (c *Call) Argument(i int) (Value, error) {
	if i < 0 || i >= len(c.parameters) {
		return Value{}, nil
	}
	for c.read <= i && c.wrong == nil {
		var v Value
		switch {
		case c.generic && c.read == 1:
			v.Kind = Other
			c.named, c.wrong = c.list(c.named)
		case c.generic && c.read == 2:
			v.Kind = Other
			c.given, c.wrong = c.list(c.given)
		default:
			v, c.wrong = c.value()
		}
		if c.wrong == nil {
			c.arguments = append(c.arguments, v)
			c.read++
		}
	}
	if i < c.read {
		return c.arguments[i], nil
	}
	return Value{}, c.wrong
}

// Attachments reads what stands behind the arguments, which are read before that.
func (c *Call) Attachments() ([]Attachment, error) {
	if n := len(c.parameters); n > 0 {
		if _, err := c.Argument(n - 1); err != nil {
			return nil, err
		}
	}
	if !c.attached && c.wrong == nil {
		c.wrong = c.pairs()
		c.attached = true
	}
	return c.attachments, c.wrong
}

// Attachment finds one by its name. What there is twice counts as the last, as in the map that it becomes.
func (c *Call) Attachment(name string) (v Value, is bool, err error) {
	all, err := c.Attachments()
	if err != nil {
		return v, false, err
	}
	for i := len(all) - 1; i >= 0; i-- {
		if string(all[i].Name) == name {
			return all[i].Value, true, nil
		}
	}
	return v, false, nil
}

// Written is a value as people write it, until somebody asks for the next.
func (c *Call) Written(v *Value) []byte {
	if v.Kind == Text {
		return v.Text
	}
	c.room = v.Append(c.room[:0])
	return c.room
}

// Service is what registries call the service of a group, until somebody asks for the next: providers:<path>:<version>:<group>.
func (c *Call) Service(group []byte) []byte {
	b := append(append(kept(c.name), "providers:"...), c.Path...)
	b = append(append(append(b, ':'), c.Version...), ':')
	c.name = append(b, group...)
	return c.name
}
