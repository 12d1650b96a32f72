package config

import "net/netip"

// AccessRules say who may do what.
type AccessRules struct {
	Action   AccessAction
	Policies []AccessPolicy // in the order of their names, in which they are looked at
}

// AccessAction is what is done with whom a policy is for.
type AccessAction uint8

// The actions.
const (
	AccessAllow AccessAction = iota // nobody else passes
	AccessDeny                      // he does not pass
	AccessNote                      // it is noted, and everybody passes
)

// AccessPolicy is for those who are one of its principals and want one of what is permitted.
type AccessPolicy struct {
	Name        string
	Permissions []Access
	Principals  []Access
}

// Access is a condition on what somebody wants, or on who it is.
type Access struct {
	Kind     AccessKind
	Of       []Access       // AccessAll, AccessAny; of AccessNot the one
	Headers  []HeaderMatch  // AccessHeader: one
	String   *StringMatch   // AccessPath, AccessServerName; of AccessPeer nil means whoever speaks TLS
	Range    netip.Prefix   // of addresses
	From, To uint32         // AccessPort: From <= port < To
	Metadata *MetadataMatch // AccessMetadata, AccessRoute
	State    *StateMatch    // AccessState
}

// AccessKind is what is looked at.
type AccessKind uint8

// The kinds. The zero value holds of nobody.
const (
	AccessNobody AccessKind = iota
	AccessEverybody
	AccessAll
	AccessAny
	AccessNot
	AccessHeader
	AccessPath       // without query and fragment
	AccessLocal      // the address that it was going to
	AccessPort       // and the port
	AccessDirect     // the peer of the socket
	AccessSource     // whom a PROXY protocol names, else the same
	AccessRemote     // the address that the request is trusted to come from
	AccessServerName // that a TLS client asks for
	AccessPeer       // what the peer's certificate says
	AccessMetadata   // of what filters have noted
	AccessRoute      // of what is configured of the route
	AccessState      // of what filters have set
)

// AccessCheck is rules that are enforced, and others that are only weighed: what they would do is counted and noted.
type AccessCheck struct {
	Rules, Shadow *AccessRules // nil: nobody is looked at
	ShadowPrefix  string       // of what is counted and noted of Shadow
}
