package registry;

import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Profile;
import org.springframework.security.config.Customizer;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.web.SecurityFilterChain;

/** User and password, as the documentation of Spring Cloud Netflix has it. */
@Configuration
@Profile("secured")
public class Secured {
    @Bean
    SecurityFilterChain chain(HttpSecurity http) throws Exception {
        http.csrf(csrf -> csrf.ignoringRequestMatchers("/eureka/**"));
        http.authorizeHttpRequests(requests -> requests.anyRequest().authenticated());
        return http.httpBasic(Customizer.withDefaults()).build();
    }
}
