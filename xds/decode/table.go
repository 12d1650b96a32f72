package decode

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// table says what becomes of the fields of messages. The key is a message's full name; where the same message means something else
// at another place, "@" and a word follow, and a field leads there with as.
type table map[string]fields

// fields are the answers for a message, by the field's name in the .proto file.
type fields map[string]field

// field is the answer for one field.
type field struct {
	answer answer
	why    string           // for harmless and refused
	except []string         // refused, except for these values, which are what happens anyway
	values map[string]field // of an enum: an answer for each
	any    []string         // of an Any: the messages that may be in it
	filter place            // of an Any: of those, the messages of HTTP filters may be in it if the program has the filter
	table  string           // descend with this word instead of none
	key    string           // of a map: the key of what is run, if not of all; what is under another one is harmless, and why says why
}

// answer is what becomes of a field.
type answer uint8

const (
	unknown answer = iota
	isRun
	isHarmless
	isRefused
)

// run is a field that does what Envoy's documentation says. If it is a message, its own fields have answers of their own.
var run = field{answer: isRun}

// harmless is a field that cannot change what is seen from outside, and why. It covers everything below it.
func harmless(why string) field { return field{answer: isHarmless, why: why} }

// later is a field that a later part of weft will run.
func later(why string) field { return field{answer: isRefused, why: "not supported yet: " + why} }

// never is a field that is not going to be supported.
func never(why string) field { return field{answer: isRefused, why: "not supported: " + why} }

// but makes exceptions to a refusal: values that are what happens anyway, as the JSON of protobuf writes them; "empty" is a message
// with nothing set.
func (f field) but(values ...string) field {
	f.except = values
	return f
}

// as is a field whose message has a table of its own for this place.
func as(word string) field { return field{answer: isRun, table: word} }

// oneOf is an enum; the words are the values that are run. and adds more.
func oneOf(values ...string) field {
	f := field{answer: isRun, values: map[string]field{}}
	for _, v := range values {
		f.values[v] = run
	}
	return f
}

// and adds values of an enum that are not run.
func (f field) and(a field, values ...string) field {
	m := make(map[string]field, len(f.values)+len(values))
	for k, v := range f.values {
		m[k] = v
	}
	for _, v := range values {
		m[v] = a
	}
	f.values = m
	return f
}

// extension is an Any that holds one of these messages.
func extension(messages ...string) field { return field{answer: isRun, any: messages} }

// on is an extension whose messages have tables of their own for one side.
func (f field) on(word string) field {
	f.table = word
	return f
}

// under is a map of which only what is under one key is run, and why the rest is harmless.
func (f field) under(key, why string) field {
	f.key, f.why = key, why
	return f
}

// place is where an HTTP filter's message stands.
type place uint8

const (
	inNoFilter place = iota
	inChain          // the filter's configuration
	inRoute          // what a route changes about it
)

// filterIn is an Any that holds a message that one of the program's HTTP filters reads at that place, or one of these.
func filterIn(p place, messages ...string) field {
	messages = append(messages, filterMessages[p]...)
	slices.Sort(messages)
	return field{answer: isRun, any: messages, filter: p}
}

// tables is all there is.
var tables = []table{bootstrapTable, listenerTable, dubboTable, httpTable, filterTable, accessTable, bodyTable, limitTable, routeTable, retryTable, clusterTable, sharedTable, tlsTable, chainMatcherTable, routeMatcherTable, matcherParts, discoveredTable, reportTable}

// lookup finds the answers for a message at a place.
func lookup(message, word string) fields {
	if word != "" {
		message += "@" + word
	}
	return index()[message]
}

var index = sync.OnceValue(func() map[string]fields {
	all := map[string]fields{}
	for _, t := range tables {
		for name, f := range t {
			if _, ok := all[name]; ok {
				panic(fmt.Sprintf("decode: %s is in two tables", name))
			}
			all[name] = f
		}
	}
	return all
})

// short is a message's name as paths show it.
func short(message string) string { return message[strings.LastIndexByte(message, '.')+1:] }
