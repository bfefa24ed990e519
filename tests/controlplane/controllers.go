package main

import (
	"context"
	"flag"
	"fmt"
	"os/signal"
	"slices"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/component-base/version"
	"k8s.io/controller-manager/pkg/informerfactory"
	"k8s.io/kubernetes/pkg/controller/garbagecollector"
	"k8s.io/kubernetes/pkg/controller/namespace"
)

const (
	// resync is how often every object is looked at again, as in kube-controller-manager.
	resync = 12 * time.Hour
	// discovery is how often the collector looks for new kinds: short, so that a new CRD is collected soon.
	discovery = 5 * time.Second
	workers   = 10
)

// runControllers runs the garbage collector and the namespace controller until a signal arrives. It takes the flag
// --kubeconfig and ignores what else the real kube-controller-manager is given; --version prints the version as it does.
func runControllers(args []string) error {
	if slices.Contains(args, "--version") {
		fmt.Println("Kubernetes", version.Get())
		return nil
	}
	kubeconfig := kubeconfigFrom(args)
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading kubeconfig %q: %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 500, 1000
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, config)
}

func kubeconfigFrom(args []string) string {
	flags := flag.NewFlagSet("kube-controller-manager", flag.ContinueOnError)
	path := flags.String("kubeconfig", "", "path of the kubeconfig")
	for _, arg := range args {
		if len(arg) > 13 && arg[:13] == "--kubeconfig=" {
			_ = flags.Parse([]string{arg})
		}
	}
	return *path
}

func run(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	typed := informers.NewSharedInformerFactory(client, resync)
	factory := informerfactory.NewInformerFactory(typed, metadatainformer.NewSharedInformerFactory(objects, resync))
	started := make(chan struct{})

	collector, err := newCollector(ctx, client, objects, mapper, factory, started)
	if err != nil {
		return err
	}
	namespaces := namespace.NewNamespaceController(ctx, client, objects, client.Discovery().ServerPreferredNamespacedResources,
		typed.Core().V1().Namespaces(), resync, v1.FinalizerKubernetes)

	factory.Start(ctx.Done())
	close(started)
	go collector.Run(ctx, workers, 30*time.Second)
	go collector.Sync(ctx, client.Discovery(), discovery)
	go namespaces.Run(ctx, workers)
	<-ctx.Done()
	return nil
}

func newCollector(ctx context.Context, client kubernetes.Interface, objects metadata.Interface, mapper meta.ResettableRESTMapper,
	factory informerfactory.InformerFactory, started chan struct{}) (*garbagecollector.GarbageCollector, error) {
	return garbagecollector.NewGarbageCollector(ctx, client, objects, mapper, garbagecollector.DefaultIgnoredResources(), factory, started)
}
