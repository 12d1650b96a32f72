package translate

import (
	"fmt"
	"slices"
	"strings"
)

// The operators of Envoy's formats that tags may have, by what stands after their names, with blanks between. They are those that Envoy had in 1.37, the first one that takes formats in tags, and of which
// what they are given can be checked: neither expressions nor JSON are.
const (
	// operatorsAlone take nothing.
	operatorsAlone = "PROTOCOL UPSTREAM_PROTOCOL RESPONSE_CODE CONNECTION_TERMINATION_DETAILS RESPONSE_FLAGS RESPONSE_FLAGS_LONG " +
		"DURATION REQUEST_DURATION REQUEST_TX_DURATION RESPONSE_DURATION RESPONSE_TX_DURATION DOWNSTREAM_HANDSHAKE_DURATION ROUNDTRIP_DURATION " +
		"BYTES_RECEIVED BYTES_SENT DOWNSTREAM_WIRE_BYTES_RECEIVED DOWNSTREAM_WIRE_BYTES_SENT DOWNSTREAM_HEADER_BYTES_RECEIVED DOWNSTREAM_HEADER_BYTES_SENT " +
		"UPSTREAM_WIRE_BYTES_RECEIVED UPSTREAM_WIRE_BYTES_SENT UPSTREAM_HEADER_BYTES_RECEIVED UPSTREAM_HEADER_BYTES_SENT " +
		"REQUEST_HEADERS_BYTES RESPONSE_HEADERS_BYTES RESPONSE_TRAILERS_BYTES GRPC_STATUS_NUMBER LOCAL_REPLY_BODY STREAM_ID ACCESS_LOG_TYPE HOSTNAME " +
		"UPSTREAM_HOST UPSTREAM_HOST_NAME UPSTREAM_CLUSTER UPSTREAM_CLUSTER_RAW UPSTREAM_CONNECTION_ID UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_TRANSPORT_FAILURE_REASON " +
		"UPSTREAM_LOCAL_ADDRESS UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT UPSTREAM_LOCAL_PORT UPSTREAM_REMOTE_ADDRESS UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT UPSTREAM_REMOTE_PORT " +
		"UPSTREAM_TLS_CIPHER UPSTREAM_TLS_VERSION UPSTREAM_TLS_SESSION_ID UPSTREAM_PEER_ISSUER UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_URI_SAN UPSTREAM_PEER_DNS_SAN " +
		"DOWNSTREAM_LOCAL_ADDRESS DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT DOWNSTREAM_LOCAL_PORT DOWNSTREAM_REMOTE_ADDRESS DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_REMOTE_PORT " +
		"DOWNSTREAM_DIRECT_REMOTE_ADDRESS DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT DOWNSTREAM_DIRECT_REMOTE_PORT DOWNSTREAM_TRANSPORT_FAILURE_REASON " +
		"DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_SESSION_ID DOWNSTREAM_LOCAL_SUBJECT DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_LOCAL_DNS_SAN " +
		"DOWNSTREAM_PEER_SUBJECT DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_FINGERPRINT_1 DOWNSTREAM_PEER_FINGERPRINT_256 " +
		"CONNECTION_ID REQUESTED_SERVER_NAME ROUTE_NAME VIRTUAL_CLUSTER_NAME FILTER_CHAIN_NAME"
	// operatorsOfFields take (NAME) or (NAME?OTHER), and a length.
	operatorsOfFields = "REQ RESP TRAILER"
	// operatorsOfNames take (NAME) or (NAME:KEY:KEY…), and a length.
	operatorsOfNames = "ENVIRONMENT QUERY_PARAM DYNAMIC_METADATA"
	// operatorsOfPaths take (NAME) or (NAME:KEY:KEY…).
	operatorsOfPaths = "CLUSTER_METADATA UPSTREAM_METADATA"
	// operatorsOfTime take how it is written, as strftime does, or nothing.
	operatorsOfTime = "START_TIME START_TIME_LOCAL"
)

// operatorsOfWords take one of some words, or nothing.
var operatorsOfWords = map[string]string{
	"RESPONSE_CODE_DETAILS": "ALLOW_WHITESPACES", "GRPC_STATUS": "CAMEL_STRING SNAKE_STRING NUMBER",
}

// checkFormat tells why proxies would not take a text with operators, such as "%REQ(x-id)% at %START_TIME%": they refuse it with all of the listener that it is for.
func checkFormat(text string) error {
	for {
		_, rest, any := strings.Cut(text, "%")
		if !any {
			return nil
		}
		if after, is := strings.CutPrefix(rest, "%"); is {
			text = after
			continue
		}
		n, err := checkOperator(rest)
		if err != nil {
			return err
		}
		text = rest[n:]
	}
}

// checkOperator is about what begins behind a percent sign; n: how long it is, with the one that ends it.
func checkOperator(text string) (n int, err error) {
	named := strings.IndexFunc(text, func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' })
	if named <= 0 {
		return 0, fmt.Errorf("%.40q is no operator: want %%NAME%%, %%NAME(PARAMETER)%% or %%NAME(PARAMETER):LENGTH%%, and %%%% for a percent sign", "%"+text)
	}
	name, rest := text[:named], text[named:]
	parameter, bounded, open := "", false, strings.HasPrefix(rest, "(")
	if open { // up to the first parenthesis behind which the operator can end, since what is in it may have some, too
		for from := 1; ; {
			i := strings.IndexByte(rest[from:], ')')
			if i < 0 {
				return 0, fmt.Errorf("%%%s(: want a closing parenthesis, and a percent sign behind it", name)
			}
			from += i + 1
			if n, bounded = operatorEnd(rest[from:]); n > 0 {
				parameter, n = rest[1:from-1], n+from
				break
			}
		}
	} else if n, bounded = operatorEnd(rest); n == 0 {
		return 0, fmt.Errorf("%%%s: want a percent sign behind it, and %%%% for one that is text", name)
	}
	in := func(words, word string) bool { return slices.Contains(strings.Fields(words), word) }
	words, choice := operatorsOfWords[name]
	switch {
	case strings.ContainsAny(parameter, "\r\n\x00"):
		err = fmt.Errorf("%%%s(…)%%: want a parameter of one line", name)
	case in(operatorsAlone, name):
		if open || bounded {
			err = fmt.Errorf("%%%s%% takes no parameter and no length", name)
		}
	case in(operatorsOfFields, name):
		if first, other, two := strings.Cut(parameter, "?"); !isHeader(first) || two && !isHeader(other) {
			err = fmt.Errorf("%%%s(%s)%%: want the name of a header, or two with a question mark between", name, parameter)
		}
	case in(operatorsOfNames, name), in(operatorsOfPaths, name):
		if parameter == "" {
			err = fmt.Errorf("%%%s%%: want a parameter, as in %%%s(NAME)%%", name, name)
		} else if bounded && in(operatorsOfPaths, name) {
			err = fmt.Errorf("%%%s(%s)%% takes no length", name, parameter)
		}
	case in(operatorsOfTime, name):
		if bounded {
			err = fmt.Errorf("%%%s%% takes no length", name)
		}
	case choice:
		if bounded || parameter != "" && !in(words, parameter) {
			err = fmt.Errorf("%%%s(%s)%%: want of %s, or no parameter, and no length", name, parameter, words)
		}
	default:
		err = fmt.Errorf("%%%s%% is no operator of all proxies that can be checked: want %%REQ(NAME)%% or the like", name)
	}
	return named + n, err
}

// operatorEnd reads what an operator ends with, % or :LENGTH%; n: how long it is; 0: it does not end there.
func operatorEnd(text string) (n int, bounded bool) {
	rest, bounded := strings.CutPrefix(text, ":")
	digits := 0
	for bounded && digits < len(rest) && digits < 9 && rest[digits] >= '0' && rest[digits] <= '9' {
		digits++
	}
	if bounded && digits == 0 || !strings.HasPrefix(rest[digits:], "%") {
		return 0, false
	}
	return len(text) - len(rest) + digits + 1, bounded
}

// literalFormat is a text as a format that says just that.
func literalFormat(text string) string { return strings.ReplaceAll(text, "%", "%%") }

// isHeader tells whether a text can be the name of a header: a token of RFC 9110, 5.6.2, or one behind a colon.
func isHeader(name string) bool {
	name = strings.TrimPrefix(name, ":")
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}
