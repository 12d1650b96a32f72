package dubbo

// Field is the field by which a request of HTTP says, between the filter that has made a call of it and what carries that, that its body is that of a call in hessian2, and a response that its body is that of
// an answer, whose status is the value. No peer can send it: it is no name of a field (RFC 9110 §5.1), nor a pseudo-header field that there is (RFC 9113 §8.3), so that nobody outside makes a call.
const Field = ":dubbo"

// HTTP is what a status is to those who know HTTP's.
func (s Status) HTTP() uint16 {
	switch s {
	case OK:
		return 200
	case ClientTimeout, ServerTimeout:
		return 504
	case BadRequest:
		return 400
	case ServiceNotFound:
		return 404
	case ServerExhausted:
		return 503
	}
	return 500
}

// ErrorText is the text of an answer in hessian2 that is not OK; "" where there is none.
func ErrorText(body []byte) string {
	h := hessian{b: body}
	v, err := h.value()
	if err != nil || v.Kind != Text {
		return ""
	}
	return string(v.Text)
}
