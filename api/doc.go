// Package api holds what is ours alone in what weftd says to weft, as protobuf: everything else is Envoy's. Generated code is here and nowhere else (make gen). It is no place for behaviour.
package api
