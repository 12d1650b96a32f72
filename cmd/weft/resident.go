package main

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart gives back the pages of the program's own file that only its start has touched: the messages of a configuration register
// themselves by the thousand, and are read by code that is not needed again. What is needed comes back from the page cache, a few pages at a
// time. A process that serves has 9 MiB then instead of 31, and 13 when it has answered some hundred requests (26 November 2026, Linux 6.18).
func forgetStart() {
	self, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		// 00400000-01234000 r-xp 00000000 fe:00 1234 /usr/bin/weft
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != self || f[1] != "r-xp" && f[1] != "r--p" {
			continue // what may be written is not all in the file
		}
		from, to, _ := strings.Cut(f[0], "-")
		begin, err := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err != nil || err2 != nil {
			continue
		}
		unix.Syscall(unix.SYS_MADVISE, uintptr(begin), uintptr(end-begin), unix.MADV_DONTNEED)
	}
}
