package mesh

import "strings"

// Protocol is what is spoken at a port, as far as its author has said.
type Protocol uint8

// The protocols.
const (
	Unknown Protocol = iota // it has to be found out
	TCP
	UDP
	HTTP
	HTTP2
	GRPC
	GRPCWeb
	HTTPS
	TLS
	Mongo
	Redis
	MySQL
	Dubbo // of version 2; Triple is gRPC
)

var protocolNames = [...]string{Unknown: "", TCP: "TCP", UDP: "UDP", HTTP: "HTTP", HTTP2: "HTTP2", GRPC: "GRPC", GRPCWeb: "GRPC-Web", HTTPS: "HTTPS", TLS: "TLS", Mongo: "Mongo", Redis: "Redis", MySQL: "MySQL", Dubbo: "Dubbo"}

func (p Protocol) String() string { return protocolNames[p] }

// IsHTTP tells whether requests can be seen.
func (p Protocol) IsHTTP() bool { return p == HTTP || p == HTTP2 || p == GRPC || p == GRPCWeb }

// IsHTTP2 tells whether it is HTTP/2 and nothing else.
func (p Protocol) IsHTTP2() bool { return p == HTTP2 || p == GRPC || p == GRPCWeb }

// IsTLS tells whether connections begin with a ClientHello of the client's own.
func (p Protocol) IsTLS() bool { return p == HTTPS || p == TLS }

// IsTCP tells whether only bytes can be seen.
func (p Protocol) IsTCP() bool {
	return p == TCP || p.IsTLS() || p == Mongo || p == Redis || p == MySQL
}

// ProtocolNamed finds a protocol by the name that people give it, in any case.
func ProtocolNamed(name string) Protocol {
	for p, n := range protocolNames {
		if n != "" && strings.EqualFold(n, name) {
			return Protocol(p)
		}
	}
	return Unknown
}

// wellKnown are ports where the server speaks first, or is known not to speak HTTP: SMTP, DNS, MySQL and MongoDB.
var wellKnown = map[uint32]bool{25: true, 53: true, 3306: true, 27017: true}

// protocolOf finds the protocol of a port of a Service: by what it says of the application, by the beginning of its name, by its number.
func protocolOf(transport string, application *string, name string, number uint32) Protocol {
	if transport == "UDP" {
		return UDP
	}
	if application != nil {
		switch name = *application; name {
		case "kubernetes.io/h2c":
			return HTTP2
		case "kubernetes.io/ws":
			return HTTP
		case "kubernetes.io/wss":
			return HTTPS
		}
	}
	if len(name) >= len("grpc-web") && strings.EqualFold(name[:len("grpc-web")], "grpc-web") {
		return GRPCWeb
	}
	name, _, _ = strings.Cut(name, "-")
	p := ProtocolNamed(name)
	if p == Unknown && wellKnown[number] {
		return TCP
	}
	return p
}
