package service;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** A service that registers as its starter does; the test that starts it configures it. */
@SpringBootApplication
@RestController
public class Service {
    private final DiscoveryClient services;

    Service(DiscoveryClient services) {
        this.services = services;
    }

    public static void main(String[] arguments) {
        SpringApplication.run(Service.class, arguments);
    }

    @GetMapping("/")
    public String hello() {
        return "spring";
    }

    /** How many instances of a service its starter has found. */
    @GetMapping("/find/{name}")
    public int find(@PathVariable String name) {
        return services.getInstances(name).size();
    }
}
