package registry;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A service that knows of ZooKeeper; the test that starts it says where that is. */
@SpringBootApplication
@RestController
public class Service {
    public static void main(String[] arguments) {
        SpringApplication.run(Service.class, arguments);
    }

    @GetMapping("/**")
    String answer() {
        return "spring";
    }
}
