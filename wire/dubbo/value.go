package dubbo

import "strconv"

// Kind is what a value is, as far as anybody asks.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	Bool
	Int    // of whatever size
	Double // or float
	Text
	Other // bytes, dates, lists, maps and objects
)

// Value is an argument or an attachment.
type Value struct {
	Kind   Kind
	Bool   bool
	Int    int64
	Double float64
	Text   []byte // UTF-8; a view of the body, or of what the Call keeps, until its next Read
}

// Append appends a value as people write it. A value of kind Other is nothing.
func (v *Value) Append(b []byte) []byte {
	switch v.Kind {
	case Bool:
		return strconv.AppendBool(b, v.Bool)
	case Int:
		return strconv.AppendInt(b, v.Int, 10)
	case Double:
		return strconv.AppendFloat(b, v.Double, 'g', -1, 64)
	case Text:
		return append(b, v.Text...)
	}
	return b
}

// Attachment is a name and what stands under it.
type Attachment struct {
	Name  []byte // a view, as Value.Text is
	Value Value
}

// maxScratch bounds, in bytes, what is kept from one body to the next for texts that had to be put together.
const maxScratch = 16 << 10

func kept(scratch []byte) []byte {
	if cap(scratch) > maxScratch {
		return nil
	}
	return scratch[:0]
}

// maxAttachments bounds how many a call may have.
const maxAttachments = 256

// keep takes in a pair of a map of attachments.
func keep(into []Attachment, key, v Value) ([]Attachment, error) {
	switch {
	case key.Kind != Text:
		return into, nil
	case len(into) == maxAttachments:
		return into, fail(TooManyAttachments)
	}
	return append(into, Attachment{key.Text, v}), nil
}
