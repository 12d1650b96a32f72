// Package bpf has the kernel hand a workload's connections to its proxy by programs on its cgroup and its network namespace, without rules. It is not for
// what is captured, which capture plans.
package bpf

//go:generate go tool bpf2go -target bpfel -cc clang -cflags "-O2 -Wall -I/usr/include/x86_64-linux-gnu" -no-strip=false kernel capture.bpf.c
