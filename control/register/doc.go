// Package register takes machines outside of Kubernetes into the mesh: for each proxy that names its WorkloadGroup there is a WorkloadEntry while its stream stands, and for a
// while after. It is not for who a machine is, which its proof says, nor for what an entry means to proxies, which control/mesh says.
package register
