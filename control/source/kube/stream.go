package kube

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

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
	read []source.Served // empty: it is a definition of a kind, or a bookmark
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

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLarge
	}
	n, err := b.from.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// eventReader reads what a watch tells. It is a watch.Decoder.
type eventReader struct {
	body  io.ReadCloser
	limit *bounded
	text  *json.Decoder
	read  reader
}

func newEventReader(body io.ReadCloser, read reader) *eventReader {
	e := &eventReader{body: body, limit: &bounded{from: body}, read: read}
	e.text = json.NewDecoder(e.limit)
	return e
}

// Decode implements watch.Decoder.
func (e *eventReader) Decode() (watch.EventType, runtime.Object, error) {
	for {
		var one struct {
			Type   watch.EventType
			Object json.RawMessage
		}
		e.limit.left = maxEvent
		if err := e.text.Decode(&one); err != nil {
			if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) || errors.Is(err, errTooLarge) {
				return "", nil, err
			}
			return "", nil, io.EOF // however the connection has ended: the watch is taken up where it was
		}
		switch one.Type {
		case watch.Added, watch.Modified, watch.Deleted:
			i, err := e.read(one.Object)
			return one.Type, i, err
		case watch.Bookmark:
			i := &item{}
			err := json.Unmarshal(one.Object, &struct {
				Metadata *metav1.ObjectMeta `json:"metadata"`
			}{&i.ObjectMeta})
			return one.Type, i, err
		case watch.Error:
			status := &metav1.Status{}
			err := json.Unmarshal(one.Object, status)
			return one.Type, status, err
		}
		// A kind of event that there is not yet: the reflector could do nothing with it either.
	}
}

// Close implements watch.Decoder.
func (e *eventReader) Close() { e.body.Close() }

// AsObject has what is wrong with a stream be told as an event.
func (e *eventReader) AsObject(err error) runtime.Object {
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
	return list, err
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
		return errors.New("no list")
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
		err = fmt.Errorf("%v where %v should be", t, d)
	}
	return err
}
