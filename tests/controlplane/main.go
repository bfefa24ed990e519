// Command controlplane is etcd, kube-apiserver and the two controllers of kube-controller-manager that the tests need, in
// one binary: the name that it is called by (or its first argument) chooses the role. Linking the shared packages once
// builds faster than three programs.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	role := filepath.Base(os.Args[0])
	switch role {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kube-apiserver":
		os.Exit(cli.Run(app.NewAPIServerCommand()))
	case "kube-controller-manager":
		if err := runControllers(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "kube-controller-manager:", err)
			os.Exit(1)
		}
	default:
		fmt.Fprintf(os.Stderr, "controlplane: called as %q; call it as etcd, kube-apiserver or kube-controller-manager\n", role)
		os.Exit(2)
	}
}
