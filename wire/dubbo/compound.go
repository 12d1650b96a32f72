package dubbo

// compound writes a list, a map or an object.
func (a *answer) compound(t byte) error {
	if a.depth == maxDepth {
		return fail(TooDeep)
	}
	a.depth++
	from, id := int32(a.at-1), len(a.places)
	n, c, err := a.opening(t)
	if err != nil {
		return err
	}
	a.values++
	a.places = append(a.places, place{from: from})
	switch {
	case t == 'H' || t == 'M':
		err = a.writePairs()
	case t == 'O' || t >= 0x60 && t <= 0x6f:
		err = a.writeObject(c)
	default:
		err = a.writeList(n)
	}
	a.depth--
	a.places[id].end = int32(a.at)
	return err
}

// opening reads what stands before the values of a list, map or object: its type or class, and how many there are.
func (a *answer) opening(t byte) (n int32, c class, err error) {
	n = untilEnd
	switch {
	case t == 'M' || t == 'U':
		err = a.kind()
	case t == 'V':
		if err = a.kind(); err == nil {
			n, err = a.count()
		}
	case t == 'X':
		n, err = a.count()
	case t >= 0x70 && t <= 0x77:
		n, err = int32(t-0x70), a.kind()
	case t >= 0x78:
		n = int32(t - 0x78)
	case t == 'O' || t >= 0x60 && t <= 0x6f:
		index := int32(t - 0x60)
		if t == 'O' {
			index, err = a.number()
		}
		if err == nil && (index < 0 || int(index) >= len(a.classes)) {
			err = fail(BadReference)
		}
		if err == nil {
			c = a.classes[index]
		}
	}
	return n, c, err
}

// ends tells whether what says no number of values ends here.
func (a *answer) ends() (bool, error) {
	if !a.more(1) {
		return false, fail(BodyCut)
	}
	if a.b[a.at] != 'Z' {
		return false, nil
	}
	a.at++
	return true, nil
}

func (a *answer) writeList(n int32) error {
	a.out = append(a.out, '[')
	for i := int32(0); n < 0 || i < n; i++ {
		if n < 0 {
			if ends, err := a.ends(); ends || err != nil {
				a.out = append(a.out, ']')
				return err
			}
		}
		if i > 0 {
			a.out = append(a.out, ',')
		}
		if err := a.value(); err != nil {
			return err
		}
	}
	a.out = append(a.out, ']')
	return nil
}

// writePairs writes a map, without the class of the object that it stands for.
func (a *answer) writePairs() error {
	a.out = append(a.out, '{')
	first := true
	for {
		if ends, err := a.ends(); ends || err != nil {
			a.out = append(a.out, '}')
			return err
		}
		begin := len(a.out)
		if !first {
			a.out = append(a.out, ',')
		}
		name := len(a.out)
		if err := a.value(); err != nil {
			return err
		}
		switch c := a.out[name]; {
		case c == '"':
		case c == '-' || c-'0' <= 9 || c == 't' || c == 'f':
			a.out = append(a.out, "\"\""...)
			copy(a.out[name+1:], a.out[name:])
			a.out[name] = '"'
			a.out[len(a.out)-1] = '"'
		default:
			return fail(BadName)
		}
		classed := string(a.out[name:]) == `"class"`
		a.out = append(a.out, ':')
		value := len(a.out)
		if err := a.value(); err != nil {
			return err
		}
		if classed && isClass(a.out[value:]) {
			a.out = a.out[:begin]
			continue
		}
		first = false
	}
}

// isClass tells whether JSON is a text that is the name of a class in a package.
func isClass(json []byte) bool {
	if json[0] != '"' {
		return false
	}
	dots, begins := 0, true
	for _, c := range json[1 : len(json)-1] {
		switch {
		case c == '.' && !begins:
			dots++
			begins = true
			continue
		case c|0x20 >= 'a' && c|0x20 <= 'z', c == '_', c == '$', c >= 0x80, c-'0' <= 9 && !begins:
		default:
			return false
		}
		begins = false
	}
	return dots > 0 && !begins
}

// writeObject writes an object of a class.
func (a *answer) writeObject(c class) error {
	begin := len(a.out)
	switch c.what {
	case isInteger:
		return a.writeInteger(c)
	case isWrapped:
		return a.value()
	case isDecimal:
		err := a.value()
		if text := a.out[begin:]; err == nil && text[0] == '"' {
			r := jsonReader{in: text[1 : len(text)-1]}
			if _, _, bad := r.digits(); bad == nil && r.at == len(r.in) {
				copy(text, r.in)
				a.out = a.out[:len(a.out)-2]
			}
		}
		return err
	case isNamed:
		if err := a.value(); err != nil || a.out[begin] == '"' {
			return err
		}
		const before = `{"name":`
		a.out = append(append(a.out, before...), '}')
		copy(a.out[begin+len(before):], a.out[begin:len(a.out)-1-len(before)])
		copy(a.out[begin:], before)
		return nil
	}
	a.out = append(a.out, '{')
	names := int(c.fields)
	for i := range c.n {
		if i > 0 {
			a.out = append(a.out, ',')
		}
		err := a.elsewhere(&names, func() error { return a.writeText(a.first()) })
		a.out = append(a.out, ':')
		if err == nil {
			err = a.value()
		}
		if err != nil {
			return err
		}
	}
	a.out = append(a.out, '}')
	return nil
}

// elsewhere reads what stands somewhere else, and goes on behind it the next time.
func (a *answer) elsewhere(there *int, read func() error) error {
	here := a.at
	a.at = *there
	err := read()
	a.at, *there = here, a.at
	return err
}

// again writes what a reference leads to. Values that were written to their end lead nowhere into themselves.
func (a *answer) again() error {
	n, err := a.number()
	switch {
	case err != nil:
		return err
	case n < 0 || int(n) >= len(a.places):
		return fail(BadReference)
	case a.places[n].end == 0:
		return fail(SelfReference)
	}
	p := a.places[n]
	if a.work -= int(p.end - p.from); a.work < 0 {
		return fail(AnswerTooLarge)
	}
	// What is defined there was defined before.
	here, types, values, classes := a.at, a.types, len(a.places), len(a.classes)
	a.at = int(p.from)
	err = a.value()
	a.at, a.types, a.values, a.places, a.classes, a.fields = here, types, values, a.places[:values], a.classes[:classes], a.fields[:classes]
	return err
}
