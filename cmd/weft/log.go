package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// defaultLogFormat is Envoy's, less the source position.
const defaultLogFormat = "[%Y-%m-%d %T.%e][%t][%l][%n] %v"

// Levels beside those of slog.
const (
	levelTrace    = slog.LevelDebug - 4
	levelCritical = slog.LevelError + 4
	levelOff      = slog.LevelError + 1000
)

var levelNames = map[string]slog.Level{
	"trace": levelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warning": slog.LevelWarn, "warn": slog.LevelWarn,
	"error": slog.LevelError, "critical": levelCritical, "off": levelOff,
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	case l < levelCritical:
		return "error"
	}
	return "critical"
}

// components are the parts of the process that log under a name of their own, each with a level that can be changed while it runs.
type components struct {
	levels map[string]*atomic.Int64
}

// componentNames are Envoy's names, as far as this process has the part, and agent, which is beside Envoy elsewhere.
var componentNames = []string{"admin", "agent", "config", "connection", "filter", "http", "main", "pool", "router", "upstream"}

func newComponents(level slog.Level) *components {
	c := &components{levels: map[string]*atomic.Int64{}}
	for _, name := range componentNames {
		c.levels[name] = &atomic.Int64{}
		c.levels[name].Store(int64(level))
	}
	return c
}

// Set changes the level of one component, or of all if name is empty.
func (c *components) Set(name, level string) error {
	l, ok := levelNames[level]
	if !ok {
		return fmt.Errorf("unknown log level %q: want trace, debug, info, warning, error, critical or off", level)
	}
	if name == "" {
		for _, v := range c.levels {
			v.Store(int64(l))
		}
		return nil
	}
	v := c.levels[name]
	if v == nil {
		return fmt.Errorf("unknown log component %q: want one of %s", name, strings.Join(componentNames, ", "))
	}
	v.Store(int64(l))
	return nil
}

// Levels is every component's level by its name.
func (c *components) Levels() map[string]string {
	m := map[string]string{}
	for name, v := range c.levels {
		m[name] = levelName(slog.Level(v.Load()))
		if v.Load() >= int64(levelOff) {
			m[name] = "off"
		}
	}
	return m
}

// newLog makes the process's log as the flags say.
func newLog(f *flags) (*components, func(component string) *slog.Logger, error) {
	level, ok := levelNames[f.logLevel]
	if !ok {
		return nil, nil, fmt.Errorf("--log-level is %q: want one of %s", f.logLevel, strings.Join(slices.Sorted(maps.Keys(levelNames)), ", "))
	}
	all := newComponents(level)
	if f.componentLogLevel != "" {
		for _, pair := range strings.Split(f.componentLogLevel, ",") {
			name, level, ok := strings.Cut(pair, ":")
			if !ok {
				return nil, nil, fmt.Errorf("--component-log-level: %q is not of the form component:level", pair)
			}
			if all.levels[name] == nil {
				continue // Envoy has components that this process has not
			}
			if err := all.Set(name, level); err != nil {
				return nil, nil, fmt.Errorf("--component-log-level: %w", err)
			}
		}
	}
	var out io.Writer = os.Stderr
	if f.logPath != "" {
		file, err := os.OpenFile(f.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, nil, fmt.Errorf("--log-path: %w", err)
		}
		out = file
	}
	shared := &lineWriter{out: out, format: f.logFormat, escape: f.logFormatEscaped}
	return all, func(component string) *slog.Logger {
		return slog.New(&lines{to: shared, component: component, level: all.levels[component]})
	}, nil
}

type lineWriter struct {
	mu     sync.Mutex
	out    io.Writer
	format string
	escape bool
}

// lines is a slog.Handler that writes lines in Envoy's pattern.
type lines struct {
	to        *lineWriter
	component string
	level     *atomic.Int64
	attrs     string
}

// Enabled implements slog.Handler.
func (l *lines) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= l.level.Load()
}

// Handle implements slog.Handler.
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var text strings.Builder
	text.WriteString(r.Message)
	text.WriteString(l.attrs)
	r.Attrs(func(a slog.Attr) bool {
		text.WriteString(attr(a))
		return true
	})
	message := text.String()
	if l.to.escape {
		message = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(message)
	}
	line := expand(l.to.format, r.Time, r.Level, l.component, message, r.PC) + "\n"
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	_, err := io.WriteString(l.to.out, line)
	return err
}

func attr(a slog.Attr) string {
	value := a.Value.Resolve().String()
	if strings.ContainsAny(value, " \"=") {
		value = strconv.Quote(value)
	}
	return " " + a.Key + "=" + value
}

// WithAttrs implements slog.Handler.
func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *l
	for _, a := range attrs {
		with.attrs += attr(a)
	}
	return &with
}

// WithGroup implements slog.Handler; groups have no place in these lines.
func (l *lines) WithGroup(string) slog.Handler { return l }

// expand fills in a pattern; pc is where in the program it was said, or 0. An escape that it does not know stays as it is.
func expand(format string, t time.Time, level slog.Level, component, message string, pc uintptr) string {
	var b strings.Builder
	file, line := "-", 0
	if pc != 0 && (strings.Contains(format, "%g") || strings.Contains(format, "%s") || strings.Contains(format, "%#")) {
		at, _ := runtime.CallersFrames([]uintptr{pc}).Next()
		file, line = path.Base(at.File), at.Line
	}
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch format[i] {
		case 'Y':
			b.WriteString(t.Format("2006"))
		case 'm':
			b.WriteString(t.Format("01"))
		case 'd':
			b.WriteString(t.Format("02"))
		case 'T':
			b.WriteString(t.Format("15:04:05"))
		case 'e':
			fmt.Fprintf(&b, "%03d", t.Nanosecond()/1e6)
		case 'f':
			fmt.Fprintf(&b, "%06d", t.Nanosecond()/1e3)
		case 'F':
			fmt.Fprintf(&b, "%09d", t.Nanosecond())
		case 'E':
			b.WriteString(strconv.FormatInt(t.Unix(), 10))
		case 'g', 's':
			b.WriteString(file)
		case '#':
			b.WriteString(strconv.Itoa(line))
		case 'j':
			quoted, err := json.Marshal(message)
			if err == nil {
				b.Write(quoted[1 : len(quoted)-1])
			}
		case 't', 'P':
			b.WriteString(strconv.Itoa(os.Getpid()))
		case 'l':
			b.WriteString(levelName(level))
		case 'L':
			b.WriteString(strings.ToUpper(levelName(level)[:1]))
		case 'n':
			b.WriteString(component)
		case 'v':
			b.WriteString(message)
		case '%':
			b.WriteByte('%')
		default:
			b.WriteByte('%')
			b.WriteByte(format[i])
		}
	}
	return b.String()
}
