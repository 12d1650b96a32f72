package server

// Kind is a kind of resource, in the order in which proxies are told of them: who is named comes before who names it.
type Kind uint8

// The kinds.
const (
	Clusters Kind = iota
	Endpoints
	Listeners
	Routes
	VirtualHosts
	Secrets
	Extensions
	Names // for the DNS of a mesh: istio.networking.nds.v1.NameTable
	kindCount
)

// Resource is encoded once, however many proxies are told of it. It never changes: another version of it is another value.
type Resource struct {
	Name    string
	Version string // another one exactly if Body is another
	Body    []byte // the message, without its type
}

// Part is resources of one kind, in the order of their names, of which each is there once. It never changes and is shared by views.
type Part struct {
	Kind      Kind
	Resources []*Resource
}

// View is all that a proxy may be told of: parts, none of which have a resource of the same kind and name. It never changes. Two proxies that are
// told the same share it.
type View struct {
	Version string // what the state of the world calls it
	Parts   []*Part
}
