package kube

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/weftmesh/weft/control/source"
)

// maxEvent bounds, in bytes, what is read of one object: several times what an API server keeps of one.
const maxEvent = 16 << 20

// item is an object on its way through client-go's reflector, which wants to know what it is called and its version. Nothing of it is kept but what is read.
type item struct {
	metav1.ObjectMeta
	read   []source.Served // empty: it is a definition of a kind, or a bookmark
	judged bool            // its status says something of ours
}

// items is a list of them.
type items struct {
	metav1.ListMeta
	Items []runtime.Object
}

// That makes them runtime.Objects. They never change.
func (*item) GetObjectKind() schema.ObjectKind  { return schema.EmptyObjectKind }
func (i *item) DeepCopyObject() runtime.Object  { return i }
func (*items) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }
func (i *items) DeepCopyObject() runtime.Object { return i }

// reader reads the text of an object.
type reader func(data []byte) (*item, error)

// bounded is a stream of which, between two words about it, only so much is read.
type bounded struct {
	from io.Reader
	left int
}

var errTooLarge = fmt.Errorf("an object has more than %d MB", maxEvent>>20)

// unreadable is what is wrong with an answer that came as it should and is not what it should be.
type unreadable struct{ error }

// ofAnswer tells what is wrong with an answer from what is wrong with the way to it.
func ofAnswer(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, errTooLarge) || errors.Is(err, errTooMany) || errors.Is(err, errForm) {
		return unreadable{err}
	}
	return err
}

var errForm = errors.New("no object or no list where one should be")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// eventReader reads what a watch tells: one object of JSON after the other. It is a watch.Decoder.
type eventReader struct {
	body   io.ReadCloser
	read   reader
	buffer []byte // what has come, of which that before at has been read
	at     int
	wrong  func(error) // is told what is wrong with what came
}

func newEventReader(body io.ReadCloser, read reader, wrong func(error)) *eventReader {
	return &eventReader{body: body, read: read, wrong: wrong}
}

// firstBuffer is what is read at a time, in bytes, and what a watch keeps for it while nothing comes.
const firstBuffer = 4 << 10

// next is the text of the next event, until it is called again. Only where it ends is looked for.
func (e *eventReader) next() ([]byte, error) {
	depth, quoted := 0, false
	for i := e.at; ; {
		for i < len(e.buffer) {
			if quoted {
				n := bytes.IndexByte(e.buffer[i:], '"')
				if n < 0 {
					i = len(e.buffer)
					break
				}
				end := i + n
				escapes := 0
				for e.buffer[end-1-escapes] == '\\' { // the text has begun with a quote
					escapes++
				}
				i, quoted = end+1, escapes%2 == 1
				continue
			}
			switch e.buffer[i] {
			case '"':
				quoted = true
			case '{':
				depth++
			case '}':
				if depth--; depth == 0 {
					text := e.buffer[e.at : i+1]
					e.at = i + 1
					return text, nil
				}
			}
			i++
		}
		if e.at > 0 {
			i -= e.at
			rest := e.buffer[e.at:]
			if cap(e.buffer) > 16*firstBuffer && len(rest) < firstBuffer { // a large one is behind it
				e.buffer = make([]byte, 0, firstBuffer)
			}
			e.buffer, e.at = append(e.buffer[:0], rest...), 0
		}
		if len(e.buffer) > maxEvent {
			return nil, errTooLarge
		}
		e.buffer = slices.Grow(e.buffer, firstBuffer)
		n, err := e.body.Read(e.buffer[len(e.buffer):cap(e.buffer)])
		if e.buffer = e.buffer[:len(e.buffer)+n]; n == 0 && err != nil {
			return nil, io.EOF // however the connection has ended: the watch is taken up where it was
		}
	}
}

// Decode implements watch.Decoder.
func (e *eventReader) Decode() (watch.EventType, runtime.Object, error) {
	for {
		text, err := e.next()
		if err != nil {
			return "", nil, err
		}
		var kind watch.EventType
		var object []byte
		if err := source.Members(text, func(name, value []byte) error {
			switch string(name) {
			case "type":
				return json.Unmarshal(value, &kind)
			case "object":
				object = value
			}
			return nil
		}); err != nil {
			return "", nil, err
		}
		switch kind {
		case watch.Added, watch.Modified, watch.Deleted:
			i, err := e.read(object)
			return kind, i, err
		case watch.Bookmark:
			i := &item{}
			err := json.Unmarshal(object, &struct {
				Metadata *metav1.ObjectMeta `json:"metadata"`
			}{&i.ObjectMeta})
			return kind, i, err
		case watch.Error:
			status := &metav1.Status{}
			err := json.Unmarshal(object, status)
			return kind, status, err
		}
		// A kind of event that there is not yet: the reflector could do nothing with it either.
	}
}

// Close implements watch.Decoder.
func (e *eventReader) Close() { e.body.Close() }

// AsObject has what is wrong with a stream be told as an event. The reflector lists again then.
func (e *eventReader) AsObject(err error) runtime.Object {
	e.wrong(err)
	return &apierrors.NewInternalError(err).ErrStatus
}

// readList reads a list, an object at a time: its text as a whole is in memory nowhere.
func readList(body io.Reader, read reader) (*items, error) {
	limit := &bounded{from: body, left: maxEvent}
	text := json.NewDecoder(limit)
	list := &items{}
	err := members(text, func(name string) error {
		switch name {
		case "metadata":
			return text.Decode(&list.ListMeta)
		case "items":
			return elements(text, func() error {
				var one json.RawMessage
				limit.left = maxEvent
				if err := text.Decode(&one); err != nil {
					return err
				}
				i, err := read(one)
				list.Items = append(list.Items, i)
				return err
			})
		}
		return text.Decode(new(json.RawMessage))
	})
	return list, ofAnswer(err)
}

// members goes through an object of JSON: each has to take the value of a name.
func members(text *json.Decoder, each func(name string) error) error {
	if err := want(text, json.Delim('{')); err != nil {
		return err
	}
	for text.More() {
		name, err := text.Token()
		if err == nil {
			err = each(fmt.Sprint(name))
		}
		if err != nil {
			return err
		}
	}
	return want(text, json.Delim('}'))
}

// elements goes through a list, of which each has to take one; null is one that is empty.
func elements(text *json.Decoder, each func() error) error {
	t, err := text.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return errForm
	}
	for text.More() {
		if err := each(); err != nil {
			return err
		}
	}
	return want(text, json.Delim(']'))
}

func want(text *json.Decoder, d json.Delim) error {
	t, err := text.Token()
	if err == nil && t != d {
		err = errForm
	}
	return err
}
