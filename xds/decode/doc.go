// Package decode turns Envoy's protobuf messages into config: every default filled in, every rule checked, every field accounted for.
// It reads what it is given and watches nothing; where resources come from is for xds, what becomes of them for proxy.
//
// # The table
//
// table*.go says of every field of every message that can be reached from a root whether it is run, harmless or refused. One walk
// (walk.go) visits what is set before anything is converted, so nothing that was configured is ignored in silence. A test walks the
// descriptors and fails for a field or an enum value that the table does not name; docs/support.md is written from the table.
//
// # To run one more field
//
// Change its row, add the field to config, convert it here, and run the tests with -update to renew docs/support.md.
package decode
