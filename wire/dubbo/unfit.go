package dubbo

import (
	"strconv"
	"unicode/utf8"
)

// unfit is why JSON is not what was wanted, and where that is.
type unfit struct{ place, why string }

func (u *unfit) Error() string {
	if u.place == "" {
		return u.why
	}
	return u.place + ": " + u.why
}

func because(why string) error { return &unfit{why: why} }

// maxPlace bounds, in bytes, what is said of a place.
const maxPlace = 256

// within is an error in the item of a list, by its number, or in an object, by a name.
func within[T int | jsonText](err error, step T) error {
	u := err.(*unfit)
	switch step := any(step).(type) {
	case int:
		u.place = join("["+strconv.Itoa(step)+"]", u.place)
	case jsonText:
		name := quote(step.utf8(nil))
		u.place = join(name[1:len(name)-1], u.place)
	}
	return u
}

func join(step, place string) string {
	switch {
	case place == "":
		return step
	case len(step)+len(place) > maxPlace:
		return step + "..."
	case place[0] == '[':
		return step + place
	}
	return step + "." + place
}

// maxQuoted bounds, in bytes, what is said of a text.
const maxQuoted = 40

func cut(text []byte) string {
	if len(text) <= maxQuoted {
		return string(text)
	}
	end := maxQuoted
	for end > maxQuoted-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return string(text[:end]) + "..."
}

// quote is a text as errors have it.
func quote(text []byte) string { return strconv.Quote(cut(text)) }

// unlike is that something else is wanted.
func (t *Type) unlike(what string) error { return because("want " + t.wanted() + ", not " + what) }

// wanted is what JSON has to be, in words.
func (t *Type) wanted() string {
	switch t.kind {
	case ofBoolean:
		return "a boolean"
	case ofByte:
		return "a byte (-128 to 127)"
	case ofShort:
		return "a short (-32768 to 32767)"
	case ofInt:
		return "an int"
	case ofLong:
		return "a long"
	case ofFloat:
		return "a float"
	case ofDouble:
		return "a double"
	case ofChar:
		return "a text of one character"
	case ofDecimal:
		return "a number of at most 1024 digits"
	case ofInteger:
		return "an integer of at most 1024 digits"
	case ofDate:
		return "a date as 2006-01-02T15:04:05Z, or milliseconds"
	case ofBytes:
		return "a text in base64"
	case ofList:
		return "a list"
	case ofMap:
		return "an object"
	}
	return "a text"
}
