// The Go client of Consul at a front: registers with a TTL check, passes it,
// is found and taken out for a while when it is told to, and leaves when its
// standard input ends.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"
)

func main() {
	front, port := os.Args[1], os.Args[2]
	number, err := strconv.Atoi(port)
	must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	must(err)
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "go")
	}))
	client, err := api.NewClient(&api.Config{Address: front})
	must(err)
	agent := client.Agent()
	_, err = agent.Self()
	must(err)
	must(agent.ServiceRegister(&api.AgentServiceRegistration{
		ID: "go-1", Name: "go", Address: "127.0.0.1", Port: number,
		Check: &api.AgentServiceCheck{TTL: "10s", DeregisterCriticalServiceAfter: "10m"},
	}))
	go func() {
		for {
			// While the proxy restarts nobody answers.
			_ = agent.UpdateTTL("service:go-1", "well", api.HealthPassing)
			time.Sleep(200 * time.Millisecond)
		}
	}()
	services, err := agent.Services()
	must(err)
	if services["go-1"] == nil {
		log.Fatalf("not among %v", services)
	}
	go watch(client)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "find":
			entries, _, err := client.Health().Service("go", "", true, nil)
			must(err)
			for _, entry := range entries {
				fmt.Println(entry.Service.Service)
			}
		case "out":
			must(agent.EnableServiceMaintenance("go-1", "for a while"))
		case "in":
			must(agent.DisableServiceMaintenance("go-1"))
		}
	}
	must(agent.ServiceDeregister("go-1"))
}

// Follows the health of the service by blocking queries, as services do that
// look for others.
func watch(client *api.Client) {
	index, answers := uint64(0), 0
	for {
		options := &api.QueryOptions{WaitIndex: index, WaitTime: 5 * time.Second}
		_, meta, err := client.Health().Service("go", "", true, options)
		if err != nil {
			index = 0
			time.Sleep(200 * time.Millisecond)
			continue
		}
		index, answers = meta.LastIndex, answers+1
		if answers > 200 {
			log.Fatal("the queries do not block")
		}
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
