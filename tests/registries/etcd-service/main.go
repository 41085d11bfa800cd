// Registers an instance as services of gRPC do, by the endpoints of etcd's own
// client, until it is told to stop.
//
//	naming ETCD TARGET ID ADDRESS
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	etcd, target, id, address := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	stopped, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	ctx := context.Background()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{etcd},
		DialTimeout: 5 * time.Second,
	})
	check(err)
	manager, err := endpoints.NewManager(client, target)
	check(err)
	lease, err := client.Grant(ctx, 2)
	check(err)
	key, endpoint := target+"/"+id, endpoints.Endpoint{Addr: address, Metadata: map[string]string{"by": "grpc"}}
	check(manager.AddEndpoint(ctx, key, endpoint, clientv3.WithLease(lease.ID)))
	alive, err := client.KeepAlive(ctx, lease.ID)
	check(err)
	go func() {
		for range alive {
		}
	}()
	<-stopped.Done()
	check(manager.DeleteEndpoint(ctx, key))
}
