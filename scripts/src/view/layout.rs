//! How the viewer lays a view out.

use super::{Pace, Subject, recording::TIMELINE};
use anyhow::{Context, Result};
use re_sdk::{
    EntityPath, RecordingStream, RecordingStreamBuilder, StoreKind,
    blueprint::{
        Blueprint, BlueprintActivation, BlueprintPanel, ContainerLike, Horizontal, SelectionPanel,
        Spatial2DView, Spatial3DView, StateTimelineView, TextLogView, TimePanel, TimeSeriesView,
        Vertical, View,
    },
    external::re_log_types::{BlueprintActivationCommand, LogMsg},
};
use re_sdk_types::blueprint::{
    archetypes::{EntityBehavior, EyeControls3D},
    components::{LoopMode, PanelState, PlayState},
};

/// From behind, the left and above, m.
const EYE_M: [f32; 3] = [-3.5, 2.5, 2.2];

/// The scene on the left, plots on the right, learning curves below; the eye follows the robot, and `hidden` is there to be switched on.
pub(super) fn send_layout(
    stream: &RecordingStream,
    subject: &Subject<'_>,
    hidden: &[EntityPath],
) -> Result<()> {
    let pace = subject.pace;
    let scene: ContainerLike = Spatial3DView::new(&subject.robot.name)
        .with_origin("world")
        .into();
    let eye = match &scene {
        ContainerLike::View(view) => view.blueprint_path(),
        _ => View::default().blueprint_path(),
    };
    let plot = |title: &str, paths: &[&str]| {
        let view = TimeSeriesView::new(title).with_origin("/");
        ContainerLike::from(view.with_contents(paths.iter().copied()))
    };
    let plots = Vertical::new([
        StateTimelineView::new("mode and feet on the ground")
            .with_origin("states")
            .into(),
        plot("value", &["plots/value"]),
        plot("velocity", &["plots/velocity", "plots/twist"]),
        plot("torque over limit", &["plots/torque"]),
        TextLogView::new("log").with_origin("log").into(),
    ])
    .with_row_shares(vec![1.2_f32, 1.0, 1.0, 1.0, 0.5]);
    let scene = match subject.camera {
        Some(_) => {
            let image = Spatial2DView::new("depth camera").with_origin("camera");
            Vertical::new([scene, image.into()])
                .with_row_shares(vec![2.0_f32, 1.0])
                .into()
        }
        None => scene,
    };
    let mut root: ContainerLike = Horizontal::new([scene, plots.into()])
        .with_column_shares(vec![3.0_f32, 2.0])
        .into();
    if pace == Pace::Training {
        let curves = Horizontal::new([
            plot("episodes", &["curves/episode/**"]),
            plot("rewards by term", &["curves/reward/**"]),
            plot("learner", &["curves/learner/**"]),
        ]);
        root = Vertical::new([root, curves.into()])
            .with_row_shares(vec![3.0_f32, 1.0])
            .into();
    }
    let time = TimePanel::new()
        .with_state(PanelState::Collapsed)
        .with_timeline(TIMELINE);
    let blueprint = Blueprint::new(root)
        .with_auto_layout(false)
        .with_auto_views(false)
        .with_blueprint_panel(BlueprintPanel::from_state(PanelState::Collapsed))
        .with_selection_panel(SelectionPanel::from_state(PanelState::Collapsed))
        .with_time_panel(match pace {
            Pace::Recorded => time
                .with_play_state(PlayState::Playing)
                .with_loop_mode(LoopMode::All),
            Pace::Live => time.with_play_state(PlayState::Following),
            Pace::Training => time.with_play_state(PlayState::Playing),
        });
    send_with_eye(stream, &blueprint, &eye, hidden)
}

/// Sends the blueprint with an eye that follows the robot and with hidden entities, which its views have no settings for yet.
fn send_with_eye(
    stream: &RecordingStream,
    blueprint: &Blueprint,
    view: &EntityPath,
    hidden: &[EntityPath],
) -> Result<()> {
    let application = stream.store_info().context("the recording is closed")?;
    let (draft, messages) =
        RecordingStreamBuilder::new(application.application_id().clone()).memory()?;
    blueprint.send(&draft, BlueprintActivation::default())?;
    let mut messages: Vec<LogMsg> = messages.take();
    messages.retain(|message| {
        message.store_id().kind() == StoreKind::Blueprint
            && !matches!(message, LogMsg::BlueprintActivationCommand(_))
    });
    let blueprint_id = messages
        .first()
        .context("the layout is empty")?
        .store_id()
        .clone();

    let (addition, eye) = RecordingStreamBuilder::from_store_id(&blueprint_id)
        .blueprint()
        .send_properties(false)
        .memory()?;
    addition.set_time_sequence("blueprint", 0);
    let controls = EyeControls3D::new()
        .with_position(EYE_M)
        .with_look_target([0.0, 0.0, 0.2])
        .with_tracking_entity("world/robot");
    addition.log(view.join(&"EyeControls3D".into()), &controls)?;
    let overrides = view.join(&"ViewContents/overrides".into());
    for entity in hidden {
        let behavior = EntityBehavior::new().with_visible(false);
        addition.log(overrides.join(entity), &behavior)?;
    }
    messages.extend(
        eye.take()
            .into_iter()
            .filter(|message| matches!(message, LogMsg::ArrowMsg(..))),
    );
    let activation = BlueprintActivationCommand::make_active(blueprint_id);
    stream.send_blueprint(messages, activation);
    Ok(())
}
