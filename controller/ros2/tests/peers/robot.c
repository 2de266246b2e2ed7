// A robot that lies until it is commanded to stand, as a peer of Cyclone DDS 0.10: feeds states, reads commands, and checks
// their checksums over the structs, whose layout is the vendor's. Ends after SECONDS and prints what it saw as one line of JSON: also the time from
// the last stiff command to the first that damps, and how long damping came after it.
// usage: robot DOMAIN SECONDS
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dds/dds.h"
#include "unitree_go.h"

typedef unitree_go_msg_dds__LowCmd_ LowCmd;
typedef unitree_go_msg_dds__LowState_ LowState;
_Static_assert(sizeof(LowCmd) == 812, "the vendor's layout");
_Static_assert(sizeof(LowState) == 1180, "the vendor's layout");

// CRC-32/MPEG-2 of all words but the last, bit by bit.
static uint32_t crc_of(const void *message, size_t size) {
    uint32_t crc = 0xFFFFFFFF;
    for (size_t word = 0; word < size / 4 - 1; word++) {
        uint32_t value;
        memcpy(&value, (const char *)message + 4 * word, 4);
        for (int bit = 31; bit >= 0; bit--) {
            uint32_t top = crc >> 31;
            crc <<= 1;
            if (top ^ (value >> bit & 1)) crc ^= 0x04C11DB7;
        }
    }
    return crc;
}

static dds_entity_t checked(dds_entity_t entity) {
    if (entity < 0) {
        fprintf(stderr, "Cyclone DDS: %s\n", dds_strretcode(-entity));
        exit(1);
    }
    return entity;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    // A robot is not held up by other programs, where that is allowed.
    struct sched_param priority = {.sched_priority = 40};
    (void)sched_setscheduler(0, SCHED_FIFO, &priority);
    dds_entity_t participant = checked(dds_create_participant((dds_domainid_t)atoi(arguments[1]), NULL, NULL));
    dds_qos_t *newest = dds_create_qos();
    dds_qset_reliability(newest, DDS_RELIABILITY_BEST_EFFORT, 0);
    dds_qset_history(newest, DDS_HISTORY_KEEP_LAST, 4);
    dds_entity_t states = checked(dds_create_writer(participant,
        checked(dds_create_topic(participant, &unitree_go_msg_dds__LowState__desc, "rt/lowstate", newest, NULL)), newest, NULL));
    dds_entity_t commands = checked(dds_create_reader(participant,
        checked(dds_create_topic(participant, &unitree_go_msg_dds__LowCmd__desc, "rt/lowcmd", newest, NULL)), newest, NULL));

    static LowState state;
    state.head[0] = 0xFE;
    state.head[1] = 0xEF;
    state.level_flag = 0xFF;
    state.imu_state.quaternion[0] = 1;
    state.imu_state.accelerometer[2] = 9.81f;
    state.bms_state.soc = 95;
    float position[12] = {0.0f, 1.3f, -2.6f, 0.0f, 1.3f, -2.6f, 0.0f, 1.3f, -2.6f, 0.0f, 1.3f, -2.6f};
    dds_time_t last_stiff = 0, first_damping = 0, last_damping = 0;
    int taken = 0, wrong_crc = 0, damping = 0, stiff = 0;
    dds_time_t end = dds_time() + (dds_time_t)(1e9 * atof(arguments[2]));
    while (dds_time() < end) {
        state.tick++;
        for (int motor = 0; motor < 12; motor++) {
            state.motor_state[motor].mode = 1;
            state.motor_state[motor].q = position[motor] + 1e-4f * (float)(state.tick % 5);
            state.motor_state[motor].temperature = 30;
        }
        state.crc = crc_of(&state, sizeof state);
        if (dds_write(states, &state) < 0) return 1;
        static LowCmd buffer[16];
        void *samples[16];
        dds_sample_info_t infos[16];
        for (int i = 0; i < 16; i++) samples[i] = &buffer[i];
        int got = dds_take(commands, samples, infos, 16, 16);
        for (int i = 0; i < got; i++) {
            if (!infos[i].valid_data) continue;
            taken++;
            wrong_crc += buffer[i].crc != crc_of(&buffer[i], sizeof buffer[i]);
            damping += buffer[i].motor_cmd[0].kp == 0 && buffer[i].motor_cmd[0].kd > 0;
            stiff += buffer[i].motor_cmd[0].kp > 0;
            // The motors are where they are commanded.
            for (int motor = 0; motor < 12; motor++) {
                float way = buffer[i].motor_cmd[motor].q - position[motor];
                if (buffer[i].motor_cmd[motor].kp > 0) position[motor] += way > 0.1f ? 0.1f : way < -0.1f ? -0.1f : way;
            }
            if (buffer[i].motor_cmd[0].kp > 0) {
                last_stiff = dds_time();
                first_damping = 0;
            } else {
                last_damping = dds_time();
                if (!first_damping) first_damping = last_damping;
            }
        }
        dds_sleepfor(DDS_MSECS(2));
    }
    double to_damping_s = first_damping ? 1e-9 * (double)(first_damping - last_stiff) : 1e9;
    double damping_s = first_damping ? 1e-9 * (double)(last_damping - first_damping) : 0;
    printf("{\"commands\": %d, \"wrong_crc\": %d, \"damping\": %d, \"stiff\": %d, \"to_damping_s\": %f, \"damping_s\": %f}\n",
        taken, wrong_crc, damping, stiff, to_damping_s, damping_s);
    return 0;
}
