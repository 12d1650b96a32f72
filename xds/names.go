package xds

import (
	"fmt"

	"github.com/weftmesh/weft/config"
)

// names is a table of names that a control plane tells whoever answers the pod's questions. It is handed on as it came: nothing here reads it.
type names struct {
	link *link
	tell func(table []byte) error
	told bool // one has come that was taken
}

// subscribeNames asks for tables of names on the stream that all kinds share. Without one nobody is asked: what serves from files has no names but those of its resolvers.
func (f *Feed) subscribeNames(tell func([]byte) error) {
	if tell == nil || f.boot.Dynamic.Shared == nil {
		return
	}
	f.names = &names{link: f.link(config.Stream{Shared: true}, Names), tell: tell}
}

// takeNames hands on what has come. What is refused leaves the table before it in place, and so does a response without one.
func (f *Feed) takeNames(v *judgement) {
	if len(v.response.Resources) == 0 && !f.names.told { // there is none for this node: then nobody has to wait for it
		f.names.told = f.names.tell(nil) == nil
	}
	for i := range v.response.Resources {
		r := &v.response.Resources[i]
		if r.Renewal {
			continue
		}
		err := r.Err
		if err == nil {
			err = f.names.tell(r.Wire)
		}
		if err != nil {
			v.refuse(r.Name, Fault{Text: fmt.Sprintf("the table of names is not taken: %v", err)})
			continue
		}
		f.names.told = true
		v.count++
	}
}
