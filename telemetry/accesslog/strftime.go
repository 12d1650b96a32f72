package accesslog

import (
	"fmt"
	"strings"
)

// timePiece is a part of a time's text.
type timePiece struct {
	what   timePart
	digits int8   // timeFraction, timeSecondsFraction: how many; -1: as many as are not 0
	text   string // timeText
}

// timePart is what a part tells.
type timePart uint8

const (
	timeText            timePart = iota
	timeISO                      // 2006-01-02T15:04:05.000Z, what a time looks like unless it is told otherwise
	timeYear                     // 2006
	timeYear2                    // 06
	timeMonth                    // 01
	timeMonthName                // January
	timeMonthShort               // Jan
	timeDay                      // 02
	timeDaySpace                 // _2
	timeYearDay                  // 002
	timeWeekdayName              // Monday
	timeWeekdayShort             // Mon
	timeHour                     // 15
	timeHour12                   // 03
	timeHalf                     // PM
	timeMinute                   // 04
	timeSecond                   // 05
	timeSecondsFraction          // 05.000
	timeFraction                 // 000
	timeUnix                     // seconds since 1970
	timeZone                     // UTC
	timeOffset                   // +0000
	timeOffsetColon              // +00:00
)

var timeLetters = map[byte]timePart{
	'Y': timeYear, 'y': timeYear2, 'm': timeMonth, 'B': timeMonthName, 'b': timeMonthShort, 'h': timeMonthShort, 'd': timeDay, 'e': timeDaySpace,
	'j': timeYearDay, 'A': timeWeekdayName, 'a': timeWeekdayShort, 'H': timeHour, 'I': timeHour12, 'p': timeHalf, 'M': timeMinute, 'S': timeSecond,
	's': timeUnix, 'Z': timeZone, 'z': timeOffset,
}

// timeShort are the letters that stand for several.
var timeShort = map[byte]string{'T': "%H:%M:%S", 'F': "%Y-%m-%d", 'D': "%m/%d/%y", 'R': "%H:%M"}

// parseTime reads a strftime format with the fractions that Envoy adds: %f and %3f, and %E3S, %E*S, %E3f, %E*f, %Ez. An empty one is
// ISO 8601 with milliseconds.
func parseTime(s string) ([]timePiece, error) {
	if s == "" {
		return []timePiece{{what: timeISO}}, nil
	}
	var pieces []timePiece
	text := func(t string) {
		if n := len(pieces); n > 0 && pieces[n-1].what == timeText {
			pieces[n-1].text += t
			return
		}
		pieces = append(pieces, timePiece{what: timeText, text: t})
	}
	for len(s) > 0 {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			text(s)
			break
		}
		if i > 0 {
			text(s[:i])
			s = s[i:]
		}
		piece, n, err := timeSpecifier(s)
		switch {
		case err != nil:
			return nil, err
		case piece.what == timeText:
			text(piece.text)
			s = s[n:]
		case piece.what == timeISO:
			s = timeShort[s[1]] + s[n:]
		default:
			pieces = append(pieces, piece)
			s = s[n:]
		}
	}
	return pieces, nil
}

// timeSpecifier reads what begins with a percent sign. timeISO means one of timeShort here.
func timeSpecifier(s string) (timePiece, int, error) {
	if len(s) < 2 {
		return timePiece{}, 0, fmt.Errorf("time format ends in %%")
	}
	switch c := s[1]; {
	case c == '%':
		return timePiece{what: timeText, text: "%"}, 2, nil
	case c == 't':
		return timePiece{what: timeText, text: "\t"}, 2, nil
	case c == 'f':
		return timePiece{what: timeFraction, digits: 9}, 2, nil
	case c >= '1' && c <= '9' && len(s) > 2 && s[2] == 'f':
		return timePiece{what: timeFraction, digits: int8(c - '0')}, 3, nil
	case c == 'E' && strings.HasPrefix(s[2:], "z"):
		return timePiece{what: timeOffsetColon}, 3, nil
	case c == 'E' && len(s) > 3 && (s[3] == 'S' || s[3] == 'f') && (s[2] == '*' || s[2] >= '0' && s[2] <= '9'):
		p := timePiece{what: timeFraction, digits: -1}
		if s[3] == 'S' {
			p.what = timeSecondsFraction
		}
		if s[2] != '*' {
			p.digits = int8(s[2] - '0')
		}
		return p, 4, nil
	case timeShort[c] != "":
		return timePiece{what: timeISO}, 2, nil
	}
	if p, ok := timeLetters[s[1]]; ok {
		return timePiece{what: p}, 2, nil
	}
	return timePiece{}, 0, fmt.Errorf("time format: %%%c is not supported", s[1])
}
