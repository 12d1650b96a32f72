// Package dns answers the questions for names that a pod asks: from a table of the mesh's names, and else by the resolvers that the pod has. It is not for how questions come here,
// which capture's rules see to, nor for what names mean, which the control plane says.
package dns
