// Package proc starts the benchmark's child processes where they belong and reads what they cost:
// CPU clocks, resident memory, context switches, and a CPU quota around them. It knows nothing of
// proxies; it never touches a process that it did not start.
package proc
